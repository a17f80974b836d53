//! `keys`: the private keys, outside the tree, and what they sign, inside it.

use super::{Exit, WrongUsage, talk};
use crate::compile;
use crate::diag::{Checked, Sources};
use crate::host::keys::{KeyStore, put_secret};
use crate::host::{identity_files, prepare_store, provision};
use crate::identity::{self, Before, PublicIdentity, UserId};
use crate::{declare, judge, load};
use anyhow::Result;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Make the domain's keys, and sign what its machines and people may do
#[derive(clap::Args)]
pub struct Args {
    /// The key store [default: $LEAFWRIGHT_KEYS, else leafwright/keys/<domain> in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make the key store: operator, accounts and certificate authority
    Init,
    /// Make the keys that are missing, sign what is new or changed, write identity/
    Sign,
    /// Show the public keys and what is signed
    Show,
    /// Write the creds file of a user of the cluster, mode 0400
    Creds {
        /// As `keys show` prints it: domain/provisioner, machines/<machine>/leaf
        user: String,
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let sources = load::domain(root)?;
    if let Verb::Sign = args.verb {
        return sign_domain(args, &sources, root);
    }
    // The other verbs ask only what the domain is called and what was signed: its machines may be half written.
    let Checked { value, report } = declare::all(&sources);
    let Some(declared) = value.filter(|declared| declared.domain.is_some()) else {
        return Ok(talk::judge(&report.sorted(), &sources));
    };
    let name = declared.domain.as_ref().map(|domain| domain.name.value.as_str()).unwrap_or_default();
    if let Verb::Init = args.verb {
        return init(&store(args, name)?);
    }
    let Some(written) = &declared.identity else { return Err(anyhow::anyhow!(NO_IDENTITY)) };
    let Checked { value, report } = identity::from_declared(written);
    let Some(identity) = value else { return Ok(talk::judge(&report.sorted(), &sources)) };
    match &args.verb {
        Verb::Creds { user, out } => creds(&KeyStore::open(&store(args, name)?)?, &identity, user, out),
        Verb::Init | Verb::Sign | Verb::Show => show(&identity),
    }
}

const NO_IDENTITY: &str = "this domain has no identity yet: run `leafwright keys init`, then `leafwright keys sign`";

fn store(args: &Args, domain: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(store) = args.store.clone().or_else(|| set("LEAFWRIGHT_KEYS")) {
        return Ok(store);
    }
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let data =
        data.ok_or_else(|| WrongUsage("there is no home directory; name the key store with --store DIR".to_owned()))?;
    Ok(data.join("leafwright/keys").join(domain))
}

fn init(directory: &Path) -> Result<Exit> {
    let store = KeyStore::create(directory)?;
    match prepare_store(&store)?.as_slice() {
        [] => talk::say(&format!("nothing to do: {} has the domain's keys", directory.display())),
        made => {
            talk::say(&format!("made in {}: {}", directory.display(), made.join(", ")));
            talk::say("keep a copy of this directory in a safe place: nobody can make these keys again");
        }
    }
    Ok(Exit::Done)
}

fn sign_domain(args: &Args, sources: &Sources, root: &Path) -> Result<Exit> {
    let Checked { value, report } = judge(sources);
    let exit = talk::judge(&report.sorted(), sources);
    let Some(judged) = value.filter(|_| exit == Exit::Done) else { return Ok(Exit::Unsound) };
    let store = KeyStore::open(&store(args, judged.domain.name.as_str())?)?;
    // Signing is the way out of an identity that cannot be believed, and must not be stopped by it.
    let written = judged.declared.identity.as_ref();
    let believed = written.and_then(|written| identity::from_declared(written).value);
    let before = match (&believed, written) {
        (Some(identity), _) => Before::Signed(identity),
        (None, Some(written)) => Before::Unreadable { generation: written.generation.value },
        (None, None) => Before::Nothing,
    };
    let identity = provision(&store, &compile::wanted(&judged.domain), before, OffsetDateTime::now_utc())?;
    match identity_files::write(&root.join(identity_files::FOLDER), &identity)?.as_slice() {
        [] => talk::say("nothing to do"),
        changed => {
            talk::say(&format!("generation {}: {} files of identity/ changed", identity.generation, changed.len()));
            changed.iter().for_each(|path| talk::print(&format!("identity/{path}\n")));
        }
    }
    Ok(Exit::Done)
}

fn show(identity: &PublicIdentity) -> Result<Exit> {
    let mut text = format!("generation {}\n", identity.generation);
    let row = |who: &str, key: &str, note: &str| format!("{who:<40} {key} {note}").trim_end().to_owned() + "\n";
    text += &row("operator", identity.operator.key.as_str(), "");
    text += &row("system account", identity.system_account.key.as_str(), "");
    text += &row("account", identity.account.key.as_str(), "");
    for (user, public) in &identity.users {
        text += &row(&user.to_string(), public.key.as_str(), if public.jwt.is_some() { "JWT" } else { "" });
    }
    for (machine, certificate) in &identity.certificates {
        let names: Vec<&str> = certificate.names.iter().map(String::as_str).collect();
        text += &format!("certificate of {machine} until {} for {}\n", certificate.not_after, names.join(", "));
    }
    talk::print(&text);
    Ok(Exit::Done)
}

fn creds(store: &KeyStore, identity: &PublicIdentity, user: &str, out: &Path) -> Result<Exit> {
    let unknown = || {
        WrongUsage(format!("there is no user of the cluster `{user}`; `leafwright keys show` lists those with a JWT"))
    };
    let id = UserId::parse(user).ok_or_else(unknown)?;
    let public = identity.users.get(&id).and_then(|user| user.jwt.as_deref());
    put_secret(out, &store.creds(&id, public.ok_or_else(unknown)?)?, 0o400)?;
    talk::say(&format!("wrote {}", out.display()));
    Ok(Exit::Done)
}
