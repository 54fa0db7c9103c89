//! A switch that ends a server from any thread.

use std::future::Future;

use tokio::sync::watch;

/// Ends a server. Clones throw the same switch; dropping all of them throws it as well.
#[derive(Debug, Clone)]
pub struct StopSwitch(watch::Sender<bool>);

impl StopSwitch {
    /// Ends the server; more than once changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A switch, and the future for [`serve`](crate::serve) that is ready once it is thrown.
pub fn stop_switch() -> (StopSwitch, impl Future<Output = ()> + Send + 'static) {
    let (sender, mut receiver) = watch::channel(false);
    let stopped = async move {
        // An error means that all switches are gone.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    };
    (StopSwitch(sender), stopped)
}
