//! How a session begins: encryption, who wants in, and that he is who he says.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ring::{digest, hmac, pbkdf2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connect::dial::Wire;
use crate::connect::postgres::session::{Message, Session, Trouble, text_at, zero_ended};
use crate::connect::postgres::url::Place;
use crate::connect::postgres::{Mode, Server};
use crate::connect::tls;

/// A client's proof is worth that many rounds at most: a server may ask for as many as it likes.
const ROUNDS: u32 = 10_000_000;

/// A connection to the server, encrypted as far as is wanted.
pub(super) async fn reach(server: &Server, place: &Place) -> Result<Box<dyn Wire>, Trouble> {
    let mut stream = TcpStream::connect((place.host.as_str(), place.port)).await?;
    stream.set_nodelay(true)?;
    if server.mode == Mode::Disable {
        return Ok(Box::new(stream));
    }
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
    match stream.read_u8().await? {
        b'S' => {
            let name = tls::server_name(&format!("{}:{}", place.host, place.port)).map_err(io::Error::other)?;
            let checked = server.mode == Mode::Verify;
            let config = if checked { server.tls.config() } else { server.tls.config_for_anyone() };
            let connector = TlsConnector::from(config.map_err(io::Error::other)?);
            Ok(Box::new(connector.connect(name, stream).await?))
        }
        _ if server.mode == Mode::Prefer => Ok(Box::new(stream)),
        _ => Err(Trouble::Refused("the server does not encrypt, and `tls` says that it must".into())),
    }
}

/// Says who wants in, and proves it.
pub(super) async fn enter(session: &mut Session, place: &Place) -> Result<(), Trouble> {
    let mut startup = vec![0, 3, 0, 0];
    let named = [("user", &place.user), ("database", &place.database)];
    let options = place.options.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in named.into_iter().chain(options) {
        startup.extend(zero_ended(name));
        startup.extend(zero_ended(value));
    }
    for fixed in ["client_encoding", "UTF8", "TimeZone", "UTC", "DateStyle", "ISO"] {
        startup.extend(zero_ended(fixed));
    }
    startup.push(0);
    session.put_untyped(&startup);
    session.flush().await?;
    let password = || place.password.clone().ok_or_else(|| Trouble::Refused("the server wants a password".into()));
    loop {
        let message = session.next().await?;
        match (message.kind, message.number()) {
            (b'R', Some(0)) => {}
            (b'R', Some(3)) => {
                session.put(b'p', &zero_ended(&password()?));
                session.flush().await?;
            }
            (b'R', Some(5)) => {
                let salt = message.body.get(4..8).ok_or_else(|| cut_off("a salt"))?;
                session.put(b'p', &zero_ended(&salted(&place.user, &password()?, salt)));
                session.flush().await?;
            }
            (b'R', Some(10)) => scram(session, &message, &password()?).await?,
            (b'R', _) => {
                return Err(Trouble::Refused("the server wants another proof than a password".into()));
            }
            (b'Z', _) => return Ok(()),
            _ => {}
        }
    }
}

fn cut_off(what: &str) -> Trouble {
    Trouble::Protocol(format!("{what} is cut off"))
}

/// The proof of old servers.
fn salted(user: &str, password: &str, salt: &[u8]) -> String {
    let hex = |parts: [&[u8]; 2]| {
        let mut sum = Md5::new();
        parts.iter().for_each(|part| sum.update(part));
        sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let inner = hex([password.as_bytes(), user.as_bytes()]);
    format!("md5{}", hex([inner.as_bytes(), salt]))
}

/// SCRAM-SHA-256: neither side learns the password from the other, and both prove that they know it.
async fn scram(session: &mut Session, offer: &Message, password: &str) -> Result<(), Trouble> {
    let offered = offer.body.get(4..).unwrap_or_default();
    if !offered.split(|byte| *byte == 0).any(|name| name == b"SCRAM-SHA-256") {
        return Err(Trouble::Refused("the server knows no proof that is known here".into()));
    }
    let nonce = format!("{:032x}", u128::from_be_bytes(random()?));
    let bare = format!("n=,r={nonce}");
    let first = format!("n,,{bare}");
    let mut message = zero_ended("SCRAM-SHA-256");
    message.extend(i32::try_from(first.len()).unwrap_or_default().to_be_bytes());
    message.extend(first.as_bytes());
    session.put(b'p', &message);
    session.flush().await?;
    let challenge = said(session, 11).await?;
    let (with_proof, expected) = answer(&challenge, &nonce, &bare, password)?;
    session.put(b'p', with_proof.as_bytes());
    session.flush().await?;
    let last = said(session, 12).await?;
    if last.strip_prefix("v=") != Some(&expected) {
        return Err(Trouble::Refused("the server does not know the password either".into()));
    }
    Ok(())
}

/// What is answered to a challenge, and what the server must answer to that.
fn answer(challenge: &str, nonce: &str, bare: &str, password: &str) -> Result<(String, String), Trouble> {
    let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
    let wrong = || Trouble::Protocol("a challenge cannot be read".into());
    let their_nonce = part("r=").filter(|theirs| theirs.starts_with(nonce)).ok_or_else(wrong)?;
    let salt = part("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(wrong)?;
    let rounds = part("i=").and_then(|rounds| rounds.parse().ok()).filter(|n| *n <= ROUNDS);
    let rounds = rounds.and_then(std::num::NonZeroU32::new).ok_or_else(wrong)?;
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let signed = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let client_key = signed(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client_key.as_ref());
    let without_proof = format!("c=biws,r={their_nonce}");
    let all = format!("{bare},{challenge},{without_proof}");
    let signature = signed(stored.as_ref(), all.as_bytes());
    let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    let server_key = signed(&salted, b"Server Key");
    let expected = STANDARD.encode(signed(server_key.as_ref(), all.as_bytes()));
    Ok((format!("{without_proof},p={}", STANDARD.encode(proof)), expected))
}

/// The text of a step of the proof.
async fn said(session: &mut Session, step: i32) -> Result<String, Trouble> {
    loop {
        let message = session.next().await?;
        if message.kind == b'R' {
            if message.number() != Some(step) {
                return Err(Trouble::Protocol("another step of the proof was expected".into()));
            }
            return Ok(text_at(&message.body, 4));
        }
    }
}

fn random() -> Result<[u8; 16], Trouble> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Trouble::Refused("there are no random numbers".into()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // RFC 7677, with the name left to the startup message as here.
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (with_proof, expected) =
            answer(challenge, "rOprNGfwEbeRWgbNEkqO", "n=user,r=rOprNGfwEbeRWgbNEkqO", "pencil").unwrap();
        assert!(with_proof.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{with_proof}");
        assert_eq!(expected, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_challenge_that_is_not_an_answer_to_ours_is_refused() {
        assert!(answer("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "mine", "n=,r=mine", "pencil").is_err());
        assert!(answer("r=mine1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999", "mine", "n=,r=mine", "pencil").is_err());
    }

    #[test]
    fn the_old_proof_is_salted() {
        assert_eq!(salted("u", "p", &[1, 2, 3, 4]).len(), 35);
    }
}
