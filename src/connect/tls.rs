//! TLS of clients and servers: which certificates are trusted, and which are shown. Files and keys are read anew for
//! every connection, so that a certificate that was renewed holds without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::connect::secrets::Secret;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::NotRunnable;
use crate::plan::{Conflict, Settings};

/// Certificates, the first of them this side's own, and their key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate that one side shows.
#[derive(Debug)]
struct Shown {
    certificates: PathBuf,
    key: Secret,
}

/// The options of a client that do not go together. One without the option `tls` is always encrypted.
pub(crate) fn client_conflicts(settings: &Settings) -> Vec<Conflict> {
    if settings.get("tls").is_some() && !settings.flag("tls") {
        return idle(settings, "`tls: true`", "switch encryption on:\n  tls: true");
    }
    unpaired(settings).into_iter().collect()
}

/// Each option of TLS that is written though nothing is encrypted without `what`.
pub(crate) fn idle(settings: &Settings, what: &str, help: &str) -> Vec<Conflict> {
    let written = ["tls_ca", "tls_cert", "tls_key"].into_iter().filter(|name| settings.is_written(name));
    written.map(|name| Conflict::between(name, format!("`{name}` means nothing without {what}"), help)).collect()
}

/// The options of a server that do not go together.
pub(crate) fn server_conflicts(settings: &Settings) -> Vec<Conflict> {
    let alone = settings.is_written("tls_client_ca") && !settings.is_written("tls_cert");
    let alone = alone.then(|| {
        let message = "`tls_client_ca` wants `tls_cert` and `tls_key` beside it";
        Conflict::between(
            "tls_client_ca",
            message,
            "only what is encrypted can show certificates:\n  tls_cert: \"server.pem\"",
        )
    });
    unpaired(settings).into_iter().chain(alone).collect()
}

/// A certificate without its key, or a key without its certificate.
fn unpaired(settings: &Settings) -> Option<Conflict> {
    match (settings.is_written("tls_cert"), settings.is_written("tls_key")) {
        (true, false) => {
            let help = "name the key:\n  tls_key: secret(\"tls/key\")";
            Some(Conflict::between("tls_cert", "`tls_cert` wants `tls_key` beside it", help))
        }
        (false, true) => {
            let help = "name the certificate:\n  tls_cert: \"cert.pem\"";
            Some(Conflict::between("tls_key", "`tls_key` wants `tls_cert` beside it", help))
        }
        _ => None,
    }
}

impl Shown {
    /// `tls_cert` and `tls_key`.
    fn of(endpoint: &Endpoint) -> Result<Option<Shown>, NotRunnable> {
        if let Some(half) = unpaired(&endpoint.settings) {
            return Err(NotRunnable(half.message));
        }
        let certificates = path(endpoint, "tls_cert");
        let key = Secret::of(endpoint, "tls_key")?;
        Ok(certificates.zip(key).map(|(certificates, key)| Shown { certificates, key }))
    }

    fn read(&self) -> Result<Identity, String> {
        let key = PrivateKeyDer::from_pem_slice(self.key.value().as_bytes());
        Ok((certificates(&self.certificates)?, key.map_err(|e| format!("`tls_key` holds no key in PEM: {e}"))?))
    }
}

/// TLS of a client.
#[derive(Debug)]
pub(crate) struct ClientTls {
    trusted: Option<PathBuf>,
    shown: Option<Shown>,
}

impl ClientTls {
    /// As the options say; none where `tls` is off.
    pub(crate) fn switched(endpoint: &Endpoint) -> Result<Option<ClientTls>, NotRunnable> {
        endpoint.settings.flag("tls").then(|| ClientTls::of(endpoint)).transpose()
    }

    /// As the options say, for what is always encrypted.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<ClientTls, NotRunnable> {
        let tls = ClientTls { trusted: path(endpoint, "tls_ca"), shown: Shown::of(endpoint)? };
        tls.config().map_err(NotRunnable)?;
        Ok(tls)
    }

    /// Whom to trust and what to show, as it is now.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        for certificate in self.trusted()? {
            // The system's store may hold some that are no use: the others count.
            let _ = roots.add(certificate);
        }
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| e.to_string())?.with_root_certificates(roots);
        let config = match self.shown()? {
            Some((certificates, key)) => builder.with_client_auth_cert(certificates, key).map_err(|e| e.to_string())?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// The same for a server that is not asked who it is: what is sent cannot be overheard, but whoever is in between
    /// could be the server.
    pub(crate) fn config_for_anyone(&self) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder =
            builder.map_err(|e| e.to_string())?.dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
        Ok(Arc::new(builder.with_no_client_auth()))
    }

    /// The certificates that are trusted.
    pub(crate) fn trusted(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        self.trusted.as_deref().map_or_else(|| Ok(native().to_vec()), certificates)
    }

    fn shown(&self) -> Result<Option<Identity>, String> {
        self.shown.as_ref().map(Shown::read).transpose()
    }

    /// The certificate that is shown to the server, its key as it is written.
    pub(crate) fn shown_in_pem(&self) -> Result<Option<(Vec<CertificateDer<'static>>, String)>, String> {
        let read = |shown: &Shown| Ok((certificates(&shown.certificates)?, shown.key.value()));
        self.shown.as_ref().map(read).transpose()
    }
}

/// Takes every certificate; that the server has its key is tested.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// TLS of a server.
#[derive(Debug)]
pub(crate) struct ServerTls {
    shown: Shown,
    clients: Option<PathBuf>,
    /// What was read last, and what was made of it.
    made: Mutex<Option<(Vec<u8>, Arc<ServerConfig>)>>,
}

impl ServerTls {
    /// As the options say; none where there is no `tls_cert`.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Option<ServerTls>, NotRunnable> {
        let clients = path(endpoint, "tls_client_ca");
        let Some(shown) = Shown::of(endpoint)? else { return Ok(None) };
        let tls = ServerTls { shown, clients, made: Mutex::new(None) };
        tls.config().map_err(NotRunnable)?;
        Ok(Some(tls))
    }

    /// For the next client. What was in order last goes on where files have become unreadable.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.read();
        match (&*made, now) {
            (Some((before, config)), Ok(now)) if *before == now => Ok(Arc::clone(config)),
            (_, Ok(now)) => {
                let config = self.make()?;
                *made = Some((now, Arc::clone(&config)));
                Ok(config)
            }
            (Some((_, config)), Err(why)) => {
                tracing::warn!(%why, "a certificate can no longer be read; what it was goes on");
                Ok(Arc::clone(config))
            }
            (None, Err(why)) => Err(why),
        }
    }

    /// Everything the configuration is made of, to see whether it changed.
    fn read(&self) -> Result<Vec<u8>, String> {
        let mut all = read(&self.shown.certificates)?;
        all.extend(self.shown.key.value().bytes());
        if let Some(path) = &self.clients {
            all.extend(read(path)?);
        }
        Ok(all)
    }

    fn make(&self) -> Result<Arc<ServerConfig>, String> {
        let (chain, key) = self.shown.read()?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| e.to_string())?;
        let builder = match &self.clients {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|e| format!("`{}`: {e}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(|e| e.to_string())?)
            }
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key);
        config.map(Arc::new).map_err(|e| format!("`tls_cert` and `tls_key` cannot be used: {e}"))
    }
}

/// The host of `host:port`, as certificates name it.
pub(crate) fn server_name(address: &str) -> Result<ServerName<'static>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name that a certificate could bear"))
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// The system's certificates, read once.
fn native() -> &'static [CertificateDer<'static>] {
    static NATIVE: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    NATIVE.get_or_init(|| rustls_native_certs::load_native_certs().certs)
}

fn path(endpoint: &Endpoint, option: &str) -> Option<PathBuf> {
    endpoint.settings.text(option).map(|path| endpoint.base.join(path))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot read `{}`: {e}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("`{}` holds no certificate in PEM", path.display())),
        Err(e) => Err(format!("`{}` holds no certificate in PEM: {e}", path.display())),
    }
}
