//! The line between a browser and the server, which can be cut: as a network would, in the middle of anything.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on, until it is cut.
pub struct Wire {
    pub address: SocketAddr,
    is_whole: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Wire {
    /// A line to a server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_whole, state) = watch::channel(true);
        let listening = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(near, server, state.clone()));
            }
        });
        Self {
            address,
            is_whole,
            listening,
        }
    }

    /// Ends every connection; new ones end at once.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn pass_on(mut near: TcpStream, server: SocketAddr, mut is_whole: watch::Receiver<bool>) {
    if !*is_whole.borrow() {
        return;
    }
    let mut far = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        // How a connection ends is its two ends' affair.
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = is_whole.wait_for(|is_whole| !is_whole) => {}
    }
}
