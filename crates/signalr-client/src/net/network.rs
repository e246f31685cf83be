//! What a builder was told of the network.

use signalr_net::{NetOptions, TlsOptions};

use crate::error::BuildError;

/// What was said of the network.
#[derive(Default)]
pub(crate) struct Network {
    pub(super) options: NetOptions,
    pub(super) tls: TlsOptions,
    /// The option that was set first: a transport of the application's own would not obey it.
    chosen: Option<&'static str>,
}

impl Network {
    pub(super) fn set(
        &mut self,
        option: &'static str,
        change: impl FnOnce(NetOptions) -> NetOptions,
    ) {
        self.chosen.get_or_insert(option);
        self.options = change(core::mem::take(&mut self.options));
    }

    pub(super) fn set_tls(
        &mut self,
        option: &'static str,
        change: impl FnOnce(TlsOptions) -> TlsOptions,
    ) {
        self.chosen.get_or_insert(option);
        self.tls = change(core::mem::take(&mut self.tls));
    }

    /// Whether nothing was said: what another transport does not obey must not go unnoticed.
    pub(crate) const fn check_unused(&self) -> Result<(), BuildError> {
        match self.chosen {
            None => Ok(()),
            Some(option) => Err(BuildError::NetworkOption { option }),
        }
    }
}
