//! What must hold when everything has come to rest.

use super::*;

impl World {
    /// Nothing is left over when everything has come to rest.
    pub(super) fn check_rest(&self) {
        let channels = Channels::new("", "Hub");
        for (index, server) in self.servers.iter().enumerate() {
            assert_eq!(
                server.node.state(),
                BackplaneState::Up,
                "{index} is not back"
            );
            assert!(server.purposes.is_empty(), "{:?}", server.purposes);
            let own = name(index, server.life);
            let mut wanted = vec![
                Channel::All,
                Channel::GroupCommands,
                Channel::Acks(&own),
                Channel::Returns(&own),
                Channel::Census,
                Channel::Counts(&own),
            ];
            let clients = self
                .clients
                .iter()
                .filter(|(_, client)| client.server == index);
            let clients = clients.map(|(id, client)| {
                let user = client.user.map(|user| user.to_string());
                (id.to_string(), user)
            });
            let clients: Vec<_> = clients.collect();
            for (id, user) in &clients {
                wanted.push(Channel::Connection(id));
                wanted.extend(user.as_deref().map(Channel::User));
            }
            let groups: Vec<String> = server
                .members
                .iter()
                .map(|(group, _)| group.to_string())
                .collect();
            wanted.extend(groups.iter().map(|group| Channel::Group(group)));
            let wanted: BTreeSet<String> = wanted
                .into_iter()
                .map(|channel| channels.name(channel).to_string())
                .collect();
            assert_eq!(self.broker.subscribed(index, server.life), wanted);
            for (id, client) in self
                .clients
                .iter()
                .filter(|(_, client)| client.server == index)
            {
                assert!(client.confirmed, "{id} was forgotten");
                for group in 0..GROUPS {
                    let member = server.members.contains(&(group, *id));
                    match self.standing(*id, group) {
                        MembershipState::In(_) => assert!(member, "{id} is in {group}"),
                        MembershipState::Out => assert!(!member, "{id} is not in {group}"),
                        MembershipState::Unknown(_) => {}
                        MembershipState::Changing => panic!("{id} still changes"),
                    }
                }
            }
        }
    }
}
