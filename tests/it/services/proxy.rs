//! A proxy before a server, which cuts a connection behind a request and before its answer: the request has been sent, and
//! nobody can know what became of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Hands bytes on until it cuts.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cuts: Arc<AtomicU64>,
    /// Cuts that are still to be made.
    due: Arc<AtomicU64>,
}

impl Proxy {
    /// Before a port of this machine. Whenever a client's bytes hold `what` (and the rest of that request has followed),
    /// the server gets them, and the client loses its connection instead of an answer: so many times, every other time.
    pub(crate) fn cutting(to: u16, what: &'static [u8], times: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, due) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(times * 2)));
        let (counted, left) = (Arc::clone(&cuts), Arc::clone(&due));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (counted, left) = (Arc::clone(&counted), Arc::clone(&left));
                std::thread::spawn(move || between(client, server, what, &counted, &left));
            }
        });
        Proxy { port, cuts, due }
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Whether it has still to cut.
    pub(crate) fn is_done(&self) -> bool {
        self.due.load(Ordering::SeqCst) == 0
    }
}

/// Between one client and the server. Answers wait while it is decided whether the client is to have them.
fn between(mut client: TcpStream, mut server: TcpStream, what: &[u8], cuts: &AtomicU64, due: &AtomicU64) {
    let (mut answers, mut peer) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            if peer.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = peer.shutdown(Shutdown::Both);
    });
    let (mut buffer, mut tail) = (vec![0; 65_536], Vec::<u8>::new());
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        tail.extend(&buffer[..count]);
        let found = tail.windows(what.len()).any(|window| window == what);
        let keep = tail.len().saturating_sub(what.len() - 1);
        tail.drain(..keep);
        let last =
            due.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| if found { n.checked_sub(1) } else { None });
        if last.is_ok_and(|n| n % 2 == 0) {
            // The client hears nothing more; what it still sends comes to the server.
            let _ = client.shutdown(Shutdown::Write);
            let _ = server.write_all(&buffer[..count]);
            client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                let _ = server.write_all(&buffer[..count]);
            }
            std::thread::sleep(Duration::from_millis(20));
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}
