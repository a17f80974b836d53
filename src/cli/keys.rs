//! `keys`: the private keys, outside the tree, and what they sign, inside it.

use super::{Exit, WrongUsage, enrol, talk};
use crate::compile;
use crate::declare::Declared;
use crate::diag::{Checked, Sources};
use crate::host::keys::{KeyId, KeyStore, put_secret};
use crate::host::{Elsewhere, Wish, enrolment, lacks, prepare_store};
use crate::identity::jwt::Signer as _;
use crate::identity::{self, Before, PublicIdentity, UserId};
use crate::{Judged, declare, judge, load};
use anyhow::{Context as _, Result, bail};
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
    /// On a machine: make the keys that it uses itself, which stay there; print the request to have them signed
    ///
    /// Its key store is --store DIR [default: /var/lib/leafwright/keys]. It needs the declarations, and no identity/.
    Make {
        #[arg(value_name = "MACHINE")]
        machine: String,
    },
    /// Take the request of a machine: judge it, sign what it asks for, write identity/
    Enrol {
        /// What `keys make` printed there; `-` reads it from stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Take other keys than this machine has, and make its old credential void
        #[arg(long, value_name = "MACHINE")]
        replace: Option<String>,
    },
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let sources = load::domain(root)?;
    if let Verb::Sign | Verb::Make { .. } | Verb::Enrol { .. } = args.verb {
        return with_declarations(args, &sources, root);
    }
    // The other verbs ask only what the domain is called and what was signed: its machines may be half written.
    let Checked { value, report } = declare::all(&sources);
    let readable = |declared: &Declared| declared.domain.is_some() && !declared.identity_is_broken();
    let Some(declared) = value.filter(readable) else {
        return Ok(talk::judge(&report.sorted(), &sources));
    };
    let name = declared.domain.as_ref().map(|domain| domain.name.value.as_str()).unwrap_or_default();
    if let Verb::Init = args.verb {
        outside(&store(args, name)?, root)?;
        let signed = declared.identity.as_ref().and_then(|written| identity::from_declared(written).value);
        return init(&store(args, name)?, signed.as_ref());
    }
    let Some(written) = &declared.identity else { return Err(anyhow::anyhow!(NO_IDENTITY)) };
    let Checked { value, report } = identity::from_declared(written);
    let Some(identity) = value else { return Ok(talk::judge(&report.sorted(), &sources)) };
    match &args.verb {
        Verb::Creds { user, out } => {
            private_file(out, root)?;
            creds(&KeyStore::open(&store(args, name)?)?, &identity, user, out)
        }
        _ => show(&identity),
    }
}

const NO_IDENTITY: &str = "this domain has no identity yet: run `leafwright keys init`, then `leafwright keys sign`";

fn store(args: &Args, domain: &str) -> Result<PathBuf> {
    store_or(args.store.as_deref(), domain)
}

/// The key store that was named, else the usual one of this domain.
pub(super) fn store_or(named: Option<&Path>, domain: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(store) = named.map(Path::to_owned).or_else(|| set("LEAFWRIGHT_KEYS")) {
        return Ok(store);
    }
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let data =
        data.ok_or_else(|| WrongUsage("there is no home directory; name the key store with --store DIR".to_owned()))?;
    Ok(data.join("leafwright/keys").join(domain))
}

/// Private keys do not lie where the text lies that is committed and copied to machines.
fn outside(store: &Path, root: &Path) -> Result<()> {
    if is_in(store, root)? {
        let text = format!(
            "the key store {} is in the domain's tree, which is kept and copied; name one outside with --store DIR",
            store.display()
        );
        return Err(WrongUsage(text).into());
    }
    Ok(())
}

/// What is yet to be made lies where its nearest directory leads.
fn is_in(path: &Path, root: &Path) -> Result<bool> {
    let path = std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
    let there = path.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_default();
    let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
    Ok(there.starts_with(&root))
}

/// Where creds are written is a file, which gets a new inode, and not one that is committed.
fn private_file(out: &Path, root: &Path) -> Result<()> {
    let out_is = std::fs::symlink_metadata(out).ok();
    let fault = match out_is {
        Some(is) if !is.is_file() => "is no file; creds are written into one that nobody else may read: --out FILE",
        _ if is_in(out, root)? => "is in the domain's tree, which is kept and copied; name a file outside: --out FILE",
        _ => return Ok(()),
    };
    Err(WrongUsage(format!("{} {fault}", out.display())).into())
}

fn init(directory: &Path, signed: Option<&PublicIdentity>) -> Result<Exit> {
    if let Some(signed) = signed {
        refuse_other_store(directory, signed)?;
    }
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

/// What another operator signed cannot be signed again with keys that are made now: `keys sign` would say no, much later.
fn refuse_other_store(directory: &Path, signed: &PublicIdentity) -> Result<()> {
    let store = directory.exists().then(|| KeyStore::open(directory)).transpose()?;
    let Some((id, key)) = lacks(store.as_ref(), signed)? else { return Ok(()) };
    let whose = match id {
        KeyId::Operator => "by the operator",
        KeyId::SystemAccount => "with the system account",
        _ => "with the account",
    };
    bail!(
        "identity/ was signed {whose} {key}, whose key is not in {}\n\
         help: bring `{id}` back from a copy of the store, or name the store that has it with --store DIR; \
         or begin anew with `rm -r identity`, and no machine will know the old one",
        directory.display()
    )
}

fn with_declarations(args: &Args, sources: &Sources, root: &Path) -> Result<Exit> {
    let Checked { value, report } = judge(sources);
    let exit = talk::judge(&report.sorted(), sources);
    let Some(judged) = value.filter(|_| exit == Exit::Done) else { return Ok(Exit::Unsound) };
    let wanted = compile::wanted(&judged.domain);
    if let Verb::Make { machine } = &args.verb {
        // The machine's own store: what the environment names is the operator's.
        let directory = args.store.clone().unwrap_or_else(|| enrolment::MACHINE_STORE.into());
        outside(&directory, root)?;
        return enrol::make(&directory, &wanted, machine);
    }
    let store = KeyStore::open(&store(args, judged.domain.name.as_str())?)?;
    let believed = judged.declared.identity.as_ref().and_then(|written| identity::from_declared(written).value);
    let before = before(&judged, believed.as_ref())?;
    if let Verb::Enrol { file, replace } = &args.verb {
        let text = enrol::read(file)?;
        let asked = enrol::Asked { text: &text, replace: replace.as_deref() };
        return enrol::enrol(&store, &wanted, before, &asked, root);
    }
    let wish = Wish { store: &store, wanted: &wanted, before, request: None, elsewhere: Elsewhere::Keep };
    enrol::written(&wish.provision(OffsetDateTime::now_utc())?, root)
}

/// A request that came from elsewhere than a file; as `keys enrol`.
pub(super) fn enrol_text(root: &Path, named: Option<&Path>, text: &str) -> Result<Exit> {
    let sources = load::domain(root)?;
    let Checked { value, report } = judge(&sources);
    let exit = talk::judge(&report.sorted(), &sources);
    let Some(judged) = value.filter(|_| exit == Exit::Done) else { return Ok(Exit::Unsound) };
    let store = KeyStore::open(&store_or(named, judged.domain.name.as_str())?)?;
    let believed = judged.declared.identity.as_ref().and_then(|written| identity::from_declared(written).value);
    let before = before(&judged, believed.as_ref())?;
    enrol::enrol(&store, &compile::wanted(&judged.domain), before, &enrol::Asked { text, replace: None }, root)
}

/// Signing is the way out of an identity that cannot be believed, and must not be stopped by it; but the keys of
/// enrolled machines are known from there alone.
fn before<'a>(judged: &Judged, believed: Option<&'a PublicIdentity>) -> Result<Before<'a>> {
    match (believed, &judged.declared.identity) {
        (Some(identity), _) => Ok(Before::Signed(identity)),
        (None, Some(written)) if !written.enrolled.is_empty() || !written.revoked.is_empty() => bail!(
            "identity/ cannot be believed, and machines are enrolled in it, whose keys are known from nowhere else\n\
             help: bring it back from the history of this directory; `leafwright build` says what is wrong with it"
        ),
        (None, Some(written)) => Ok(Before::Unreadable { generation: written.generation.value }),
        (None, None) => Ok(Before::Nothing),
    }
}

fn show(identity: &PublicIdentity) -> Result<Exit> {
    let mut text = format!("generation {}\n", identity.generation);
    let row = |who: &str, key: &str, note: &str| format!("{who:<40} {key} {note}").trim_end().to_owned() + "\n";
    text += &row("operator", identity.operator.key.as_str(), "");
    text += &row("system account", identity.system_account.key.as_str(), "");
    text += &row("account", identity.account.key.as_str(), "");
    for (user, public) in &identity.users {
        let there = user.made_on().is_some_and(|machine| identity.enrolled.contains(machine));
        let notes = [public.jwt.as_ref().map(|_| "JWT"), there.then_some("made on the machine")];
        let notes: Vec<&str> = notes.into_iter().flatten().collect();
        text += &row(&user.to_string(), public.key.as_str(), &notes.join(", "));
    }
    for (machine, certificate) in &identity.certificates {
        let names: Vec<&str> = certificate.names.iter().map(String::as_str).collect();
        text += &format!("certificate of {machine} until {} for {}\n", certificate.not_after, names.join(", "));
    }
    for (key, generation) in &identity.revoked {
        text += &format!("revoked in generation {generation}: {key}\n");
    }
    talk::print(&text);
    Ok(Exit::Done)
}

fn creds(store: &KeyStore, identity: &PublicIdentity, user: &str, out: &Path) -> Result<Exit> {
    let unknown = || {
        WrongUsage(format!("there is no user of the cluster `{user}`; `leafwright keys show` lists those with a JWT"))
    };
    let id = UserId::parse(user).ok_or_else(unknown)?;
    let signed = identity.users.get(&id).ok_or_else(unknown)?;
    let jwt = signed.jwt.as_deref().ok_or_else(unknown)?;
    let here = store.nkey(&KeyId::User(id.clone()))?.map(|here| here.public());
    // A JWT and a seed that do not belong together are refused by every server, much later.
    match (id.made_on().filter(|machine| identity.enrolled.contains(*machine)), here) {
        (_, Some(here)) if here == signed.key => {}
        (Some(machine), _) => bail!(
            "the key of {id} was made on {machine} and is nowhere else\nhelp: on {machine}, `apply` writes its creds file, from the keys there"
        ),
        (None, _) => bail!(
            "the key of {id} in {} is not {}, which was signed\nhelp: `leafwright keys sign` signs the keys that are there",
            store.root().display(),
            signed.key
        ),
    }
    put_secret(out, &store.creds(&id, jwt)?, 0o400)?;
    talk::say(&format!("wrote {}", out.display()));
    Ok(Exit::Done)
}
