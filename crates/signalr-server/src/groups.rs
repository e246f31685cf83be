//! Groups, and who is there.

use std::fmt;
use std::sync::Arc;

use crate::error::GroupError;
use crate::server::Shared;

/// The groups of a hub. Names are compared exactly; a group is there while it has members.
///
/// Everything here is asynchronous and may fail, because a backplane may have to carry it to other servers.
#[derive(Clone)]
pub struct Groups {
    pub(crate) shared: Arc<Shared>,
}

impl Groups {
    /// Adds a connection to a group. One that is not there is passed over, and joining twice is joining once.
    ///
    /// # Errors
    /// When the name is longer or the connection's groups are more than the hub's limits allow.
    pub async fn join(&self, connection_id: &str, group: &str) -> Result<(), GroupError> {
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
    /// None so far; a backplane may not be reached.
    pub async fn leave(&self, connection_id: &str, group: &str) -> Result<(), GroupError> {
        self.shared.registry.leave(connection_id, group);
        Ok(())
    }

    /// The groups of a connection, in order.
    ///
    /// # Errors
    /// None so far; a backplane may not be reached.
    pub async fn of(&self, connection_id: &str) -> Result<Vec<String>, GroupError> {
        Ok(self.shared.registry.groups_of(connection_id))
    }

    /// The connection ids of a group's members.
    ///
    /// # Errors
    /// None so far; a backplane may not be reached.
    pub async fn members(&self, group: &str) -> Result<Vec<String>, GroupError> {
        let members = self.shared.registry.group(group);
        Ok(members
            .iter()
            .map(|member| member.id.as_ref().to_owned())
            .collect())
    }

    /// How many members a group has.
    ///
    /// # Errors
    /// None so far; a backplane may not be reached.
    pub async fn count(&self, group: &str) -> Result<usize, GroupError> {
        Ok(self.shared.registry.group_size(group))
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}
