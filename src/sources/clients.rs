//! Clients of a server: where it listens, how many it takes at once, and a task for each of them.

use std::future::Future;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::connect::COUNT;
use crate::connect::dial::Wire;
use crate::connect::tls::ServerTls;
use crate::connect::waiting::{Told, Working, runtime};
use crate::plan::operator::TaskError;
use crate::plan::{OptionSpec, Settings};
use crate::sources::receiver::Feed;

/// How long a client may take to agree on a key.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long clients have to hand over what they have in hand.
const GRACE: Duration = Duration::from_secs(2);

/// How long it waits where the system has no room for another connection.
const BREATH: Duration = Duration::from_millis(50);

/// The option that bounds them.
pub(super) fn option() -> OptionSpec {
    OptionSpec::with_default("max_clients", COUNT, "1000", "further clients are turned away")
}

/// Where clients come in.
pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A socket in the file system, gone with the server.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why an address cannot be had. One that is taken may become free: the version of a pipeline that is replaced still
/// has it.
pub(super) fn taken(address: &str, error: &io::Error) -> TaskError {
    let why = format!("cannot listen on `{address}`: {error}");
    if error.kind() == io::ErrorKind::AddrInUse { TaskError::Retry(why) } else { TaskError::Stop(why) }
}

impl Door {
    /// Listens for connections over the network.
    pub(super) fn tcp(address: &str) -> Result<Door, TaskError> {
        let bound = runtime().and_then(|runtime| runtime.block_on(TcpListener::bind(address)));
        bound.map(Door::Tcp).map_err(|e| taken(address, &e))
    }

    /// Listens at a path. A socket that a dead server left behind gives way.
    pub(super) fn unix(path: &Path) -> Result<Door, TaskError> {
        let bound = runtime().and_then(|runtime| {
            let _inside = runtime.enter();
            if is_dead(path) {
                std::fs::remove_file(path)?;
            }
            UnixListener::bind(path)
        });
        let listener = bound.map_err(|e| taken(&path.display().to_string(), &e))?;
        Ok(Door::Unix(listener, SocketFile(path.to_owned())))
    }

    /// The next client and what to call it.
    async fn next(&self, count: u64) -> io::Result<(Box<dyn Wire>, String)> {
        match self {
            Door::Tcp(listener) => {
                let (stream, peer): (TcpStream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), peer.to_string()))
            }
            Door::Unix(listener, SocketFile(path)) => {
                let (stream, _): (UnixStream, _) = listener.accept().await?;
                Ok((Box::new(stream), format!("{}#{count}", path.display())))
            }
        }
    }
}

/// Whether a socket stands there that nobody listens at.
fn is_dead(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// What a server is beside what it does with a client.
pub(super) struct Server {
    pub(super) door: Door,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) most: usize,
    pub(super) feed: Feed,
}

impl Server {
    /// The option `max_clients`.
    pub(super) fn most(settings: &Settings) -> usize {
        settings.integer("max_clients").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
    }

    /// Serves until it is told to end, and its clients too; then every connection is closed.
    pub(super) fn serve<H, F>(self, handle: H) -> Result<Working, TaskError>
    where
        H: Fn(Box<dyn Wire>, String, Told) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let working = Working::task(|told| self.accept(told, Arc::new(handle)));
        working.map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))
    }

    async fn accept<H, F>(self, mut told: Told, handle: Arc<H>)
    where
        H: Fn(Box<dyn Wire>, String, Told) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut clients = JoinSet::new();
        let mut count = 0;
        loop {
            count += 1;
            match told.or(self.door.next(count)).await {
                None => break,
                Some(Ok((stream, name))) => {
                    while clients.try_join_next().is_some() {}
                    if clients.len() >= self.most {
                        let reason = format!("more than {} clients at once", self.most);
                        tracing::warn!(client = name, "turned away: {reason}");
                        self.feed.turn_away(name, reason);
                        continue;
                    }
                    let (tls, handle, mut told) = (self.tls.clone(), Arc::clone(&handle), told.clone());
                    clients.spawn(async move {
                        match told.or(secured(stream, tls.as_deref())).await {
                            None => {}
                            Some(Ok(stream)) => handle(stream, name, told).await,
                            Some(Err(e)) => tracing::warn!(client = name, %e, "cannot agree on a key"),
                        }
                    });
                }
                Some(Err(e)) => {
                    tracing::warn!(%e, "a client cannot be taken in");
                    if !told.sleep(BREATH).await {
                        break;
                    }
                }
            }
        }
        drop(self.door);
        // They have been told as well, and end when they have handed over what they have in hand.
        let all = async { while clients.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            clients.shutdown().await;
        }
    }
}

async fn secured(stream: Box<dyn Wire>, tls: Option<&ServerTls>) -> io::Result<Box<dyn Wire>> {
    let Some(tls) = tls else { return Ok(stream) };
    let acceptor = TlsAcceptor::from(tls.config().map_err(io::Error::other)?);
    Ok(Box::new(tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??))
}
