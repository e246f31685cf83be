//! Groups, and who is there.

use std::fmt;
use std::sync::Arc;

use crate::error::GroupError;
use crate::shared::Shared;

/// The groups of a hub. Names are compared exactly; a group is there while it has members.
///
/// With a [backplane](crate::HubServerBuilder::backplane), connections of any server of the farm can be added and removed, while
/// [`of`](Self::of), [`members`](Self::members) and [`count`](Self::count) know of this server's. Everything is asynchronous and
/// may fail for that reason.
#[derive(Clone)]
pub struct Groups {
    pub(crate) shared: Arc<Shared>,
}

impl Groups {
    /// Adds a connection to a group. One that is not there is passed over, and joining twice is joining once. Done when messages
    /// to the group reach the connection.
    ///
    /// With a backplane a connection of another server is added by that server, and one that no server has is an error after
    /// 30 seconds.
    ///
    /// # Errors
    /// When the name is longer or the connection's groups are more than the hub's limits allow, or the backplane or the other
    /// server does not answer.
    pub async fn join(&self, connection_id: &str, group: &str) -> Result<(), GroupError> {
        if let Some(farm) = &self.shared.farm {
            return farm.join(connection_id, group).await;
        }
        let options = &self.shared.options;
        if group.len() > options.maximum_group_name_length {
            return Err(GroupError::NameTooLong {
                length: group.len(),
                limit: options.maximum_group_name_length,
            });
        }
        let limit = options.maximum_groups_per_connection;
        if self.shared.registry.join(connection_id, group, limit) {
            Ok(())
        } else {
            Err(GroupError::TooManyGroups { limit })
        }
    }

    /// Removes a connection from a group.
    ///
    /// # Errors
    /// With a backplane, when another server should have removed it and does not answer.
    pub async fn leave(&self, connection_id: &str, group: &str) -> Result<(), GroupError> {
        if let Some(farm) = &self.shared.farm {
            return farm.leave(connection_id, group).await;
        }
        self.shared.registry.leave(connection_id, group);
        Ok(())
    }

    /// The groups of a connection of this server, in order.
    ///
    /// # Errors
    /// None so far.
    pub async fn of(&self, connection_id: &str) -> Result<Vec<String>, GroupError> {
        Ok(self.shared.registry.groups_of(connection_id))
    }

    /// The connection ids of a group's members on this server.
    ///
    /// # Errors
    /// None so far.
    pub async fn members(&self, group: &str) -> Result<Vec<String>, GroupError> {
        let members = self.shared.registry.group(group);
        Ok(members
            .iter()
            .map(|member| member.id.as_ref().to_owned())
            .collect())
    }

    /// How many members a group has on this server.
    ///
    /// # Errors
    /// None so far.
    pub async fn count(&self, group: &str) -> Result<usize, GroupError> {
        Ok(self.shared.registry.group_size(group))
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}
