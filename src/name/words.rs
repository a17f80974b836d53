//! Single-word names: what a machine, a stream, a bucket, an account may be called.
//!
//! Refuses: anything that the consumer of the name (nats-server, DNS, systemd) would refuse later.

use super::Fault;
use std::sync::Arc;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text; the fault says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, Fault> {
                $check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

word!(
    /// A machine: one DNS label (RFC 1123), because it is also its host name, its nats-server's name and its JetStream domain.
    MachineName, "a machine name", label
);
word!(
    /// A zone: one DNS label.
    ZoneName, "a zone name", label
);
word!(
    /// A module: one DNS label.
    ModuleName, "a module name", label
);
word!(
    /// A service: what `$SRV` (NATS services, ADR-32) allows, narrowed to one DNS label because it names a unit and a user.
    ServiceName, "a service name", label
);
word!(
    /// A person: one DNS label.
    PersonName, "a person name", label
);
word!(
    /// A role: one DNS label.
    RoleName, "a role name", label
);
word!(
    /// An event set: one DNS label.
    EventSetName, "an event set name", label
);
word!(
    /// The domain's name: one DNS label, and one token of every subject.
    DomainName, "a domain name", label
);
word!(
    /// A host name: DNS labels joined by dots, at most 253 characters (RFC 1123).
    HostName, "a host name", host
);
word!(
    /// A NATS account name: no white space, no dot, no wildcard; `$G` is reserved by nats-server.
    AccountName, "an account name", account
);
word!(
    /// A stream name: at most 255 bytes, none of white space `. * > \ /` (nats-server `isValidName`; a dot gets no answer at all).
    StreamName, "a stream name", jetstream
);
word!(
    /// A consumer name: the rules of a stream name (nats-server `isValidName`).
    ConsumerName, "a consumer name", jetstream
);
word!(
    /// A key-value or object bucket: `[A-Za-z0-9_-]+` (ADR-8, ADR-20).
    BucketName, "a bucket name", bucket
);
word!(
    /// A message as services name it: lower-case labels joined by dots, at least two (`users.create`).
    MessageName, "a message name", message
);
word!(
    /// A public NKey: prefix, 56 characters of base32, checksum (github.com/nats-io/nkeys `strkey.go`).
    NKeyPublic, "a public NKey", nkey
);

fn label(what: &str, text: &str) -> Result<(), Fault> {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() {
        return Err(Fault::new(format!("{what} cannot be empty")));
    }
    if text.len() > 63 {
        return Err(Fault::new(format!("{what} has at most 63 characters, this has {}", text.len())));
    }
    if let Some(bad) = text.chars().find(|c| !ok(*c)) {
        let fault = Fault::new(format!("{what} is made of a-z, 0-9 and `-`, not {bad:?}"));
        let mended: String = text.to_lowercase().chars().map(|c| if ok(c) { c } else { '-' }).collect();
        let mended = mended.trim_matches('-');
        return Err(if mended.is_empty() { fault } else { fault.help(format!("write `{mended}`")) });
    }
    if text.starts_with('-') || text.ends_with('-') {
        let fault = Fault::new(format!("{what} cannot begin or end with `-`"));
        let mended = text.trim_matches('-');
        return Err(if mended.is_empty() { fault } else { fault.help(format!("write `{mended}`")) });
    }
    Ok(())
}

fn host(what: &str, text: &str) -> Result<(), Fault> {
    if text.is_empty() || text.len() > 253 {
        return Err(Fault::new(format!("{what} has 1 to 253 characters, this has {}", text.len())));
    }
    text.split('.').try_for_each(|part| label("a part of a host name", part))
}

fn account(what: &str, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new(format!("{what} cannot be empty")));
    }
    if text.starts_with('$') {
        return Err(Fault::new(format!("{what} cannot begin with `$`, which nats-server reserves")));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(bad) => Err(Fault::new(format!("{what} is made of letters, digits, `-` and `_`, not {bad:?}"))),
        None => Ok(()),
    }
}

fn jetstream(what: &str, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new(format!("{what} cannot be empty")));
    }
    if text.len() > 255 {
        return Err(Fault::new(format!("{what} has at most 255 bytes, this has {}", text.len())));
    }
    let bad = text.chars().find(|c| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '\\' | '/'));
    match bad {
        Some(bad) => Err(Fault::new(format!("{what} cannot contain {bad:?}"))
            .help("nats-server never answers a request whose stream name has a dot; use `-` or `_`")),
        None => Ok(()),
    }
}

fn bucket(what: &str, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new(format!("{what} cannot be empty")));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(bad) => Err(Fault::new(format!("{what} is made of letters, digits, `-` and `_`, not {bad:?}"))),
        None => Ok(()),
    }
}

fn message(what: &str, text: &str) -> Result<(), Fault> {
    if text.split('.').count() < 2 {
        return Err(Fault::new(format!("{what} is an aggregate and a name joined by a dot"))
            .help(format!("write `{text}.create` or the like")));
    }
    text.split('.').try_for_each(|part| label("a part of a message name", part))
}

fn nkey(what: &str, text: &str) -> Result<(), Fault> {
    if text.starts_with('S') {
        return Err(Fault::new(format!("{what} is expected, this looks like a seed, which is secret"))
            .help("write the public half (`leafwright keys show`), and treat this seed as lost"));
    }
    match nkeys::KeyPair::from_public_key(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(format!("{what} is 56 characters of base32 with a checksum, this is not"))),
    }
}
