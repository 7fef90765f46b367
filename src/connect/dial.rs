//! Connections to a server, encrypted or not.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connect::tls::{self, ClientTls};

/// A connection, encrypted or not.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Connects to `host:port`, within so long.
pub(crate) async fn connect(address: &str, tls: Option<&ClientTls>, most: Duration) -> io::Result<Box<dyn Wire>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", most.as_millis()));
    tokio::time::timeout(most, reach(address, tls)).await.map_err(late)?
}

async fn reach(address: &str, tls: Option<&ClientTls>) -> io::Result<Box<dyn Wire>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = tls::server_name(address).map_err(io::Error::other)?;
    let config = tls.config().map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}
