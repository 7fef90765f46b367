//! `postgres://user:password@host:port/database?options`.

/// Where a server is and who wants in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: String,
    /// `application_name` and the like, handed to the server.
    pub(super) options: Vec<(String, String)>,
}

impl Place {
    /// The error does not repeat the URL, which holds a password.
    pub(super) fn read(url: &str) -> Result<Place, String> {
        let wrong = || "`url` must look like `postgres://user:password@host:port/database`".to_owned();
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or_else(wrong)?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (who, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (place, 5432),
        };
        let plain = |text: &str| decoded(text).ok_or_else(wrong);
        let host = plain(host.trim_start_matches('[').trim_end_matches(']'))?;
        let user = plain(user)?;
        if host.is_empty() || user.is_empty() {
            return Err(wrong());
        }
        let database = if database.is_empty() { user.clone() } else { plain(database)? };
        let option = |pair: &str| {
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            let name = plain(name)?;
            if ["sslmode", "sslrootcert", "sslcert", "sslkey"].contains(&name.as_str()) {
                return Err(format!("`{name}` in `url` is not read: write the option `tls`"));
            }
            Ok((name, plain(value)?))
        };
        let options = options.split('&').filter(|pair| !pair.is_empty()).map(option).collect::<Result<_, _>>()?;
        Ok(Place { host, port, user, password: password.map(plain).transpose()?, database, options })
    }
}

/// Without `%41`; none where what stands behind a `%` is no byte, or the text is none.
fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_whole() {
        let place = Place::read("postgres://u%40x:p%2Fw%3A@[::1]:5433/d%20b?application_name=me").unwrap();
        assert_eq!((place.host.as_str(), place.port), ("::1", 5433));
        assert_eq!((place.user.as_str(), place.password.as_deref()), ("u@x", Some("p/w:")));
        assert_eq!((place.database.as_str(), place.options.len()), ("d b", 1));
        let short = Place::read("postgresql://me@db").unwrap();
        assert_eq!((short.port, short.database.as_str(), short.password), (5432, "me", None));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for wrong in ["mysql://u@h", "postgres://h/d", "postgres://u:secret@h:x/d", "postgres://u:sec%ret@h"] {
            assert!(!Place::read(wrong).err().unwrap().contains("secret"), "{wrong}");
        }
        assert!(Place::read("postgres://u@h/d?sslmode=require").err().unwrap().contains("option `tls`"));
    }
}
