//! How the client library is told what the options say, and what its errors mean for a batch.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::connect::secrets::Secret;
use crate::plan::OptionValue;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};

/// How long a broker may take to answer.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// The brokers, and what is passed on as it is. The library says of a setting that it does not know which one it is.
pub(crate) fn config(endpoint: &Endpoint) -> Result<ClientConfig, NotRunnable> {
    let settings = &endpoint.settings;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", settings.texts("brokers").join(","));
    config.set("client.id", concat!("millstream/", env!("CARGO_PKG_VERSION")));
    config.set_log_level(RDKafkaLogLevel::Error);
    match settings.text("security") {
        Some("ssl" | "sasl_ssl") => {
            return Err(NotRunnable("brokers cannot be spoken to with TLS yet: write `security: plaintext`".into()));
        }
        Some("sasl_plaintext") => {
            if settings.text("sasl").is_some_and(|sasl| sasl != "plain") {
                return Err(NotRunnable("of `sasl` only `plain` can be used yet".into()));
            }
            config.set("security.protocol", "sasl_plaintext").set("sasl.mechanism", "PLAIN");
            config.set("sasl.username", settings.text("user").unwrap_or_default());
            let password = Secret::of(endpoint, "password")?.map(|secret| secret.value()).unwrap_or_default();
            config.set("sasl.password", password);
        }
        _ => {}
    }
    if settings.text("registry").is_some() {
        return Err(NotRunnable("a schema registry cannot be asked yet: leave `registry` out".into()));
    }
    for (name, value) in passed_on(endpoint)? {
        config.set(name, value);
    }
    Ok(config)
}

/// Options `kafka.NAME`, as the library writes them.
fn passed_on(endpoint: &Endpoint) -> Result<BTreeMap<String, String>, NotRunnable> {
    let mut found = BTreeMap::new();
    for (option, value) in endpoint.settings.iter() {
        let Some(name) = option.strip_prefix("kafka.") else { continue };
        let text = match value {
            OptionValue::Integer(n) => n.to_string(),
            OptionValue::Bool(is) => is.to_string(),
            _ => Secret::of(endpoint, option)?.map(|secret| secret.value()).unwrap_or_default(),
        };
        found.insert(name.to_owned(), text);
    }
    Ok(found)
}

/// What an error means for a batch.
pub(crate) fn failed(doing: &str, error: &KafkaError) -> TaskError {
    let why = format!("cannot {doing}: {error}");
    let lasts = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::MessageSizeTooLarge
        )
    ) || matches!(error, KafkaError::ClientConfig(..));
    if lasts { TaskError::Stop(why) } else { TaskError::Retry(why) }
}
