//! `domain.toml`: name, DNS zone, subject grammar, zones, clusters, roles, policies.

use super::module::Body;
use super::table::{File, Hint, Reader, list, once, text, word};
use super::value::Table;
use crate::diag::{SourceId, Span, Spanned};
use crate::name::{
    AccountName, DomainName, EventSetName, HostName, MachineName, MessageName, RoleName, SubjectPattern, ZoneName,
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Domain {
    pub source: SourceId,
    /// `name = "meadow"`
    pub name: Spanned<DomainName>,
    /// `dns = "meadow.example"`
    pub dns: Spanned<HostName>,
    pub doc: Option<Spanned<Box<str>>>,
    /// `account = "MEADOW"`: the NATS account of the domain; the upper-cased name if absent.
    pub account: Option<Spanned<AccountName>>,
    /// `subjects = "{kind}.{domain}.{aggregate}.{name}"`; this is the default.
    pub subjects: Option<Spanned<Box<str>>>,
    /// `zone = "home"`: the zone of machines that name none.
    pub zone: Option<Spanned<ZoneName>>,
    /// `[zones.<name>]`
    pub zones: BTreeMap<ZoneName, Zone>,
    /// `[clusters.<name>]`; the name is also the cluster's JetStream domain.
    pub clusters: BTreeMap<MachineName, Cluster>,
    /// `[roles.<name>]`
    pub roles: BTreeMap<RoleName, Role>,
    /// `events = ["…"]`: event sets loaded once for the domain, on the cluster.
    pub events: Vec<Spanned<EventSetName>>,
    /// `external = ["payments.settled"]`: messages whose other end is outside the domain.
    pub external: Vec<Spanned<MessageName>>,
    /// The layer `domain` of every machine.
    pub body: Body,
}

#[derive(Debug)]
pub struct Zone {
    pub name: Spanned<ZoneName>,
    pub doc: Option<Spanned<Box<str>>>,
    /// The layer `zone` of its machines.
    pub body: Body,
}

#[derive(Debug)]
pub struct Cluster {
    pub name: Spanned<MachineName>,
    pub doc: Option<Spanned<Box<str>>>,
    pub members: Vec<Spanned<MachineName>>,
    pub members_span: Span,
    /// Options of what lives on the cluster and on no single machine: `streams`, `buckets`, `event_store`, `commands`.
    pub body: Body,
}

/// What its holders may do besides talking to services.
#[derive(Debug)]
pub struct Role {
    pub name: Spanned<RoleName>,
    pub doc: Option<Spanned<Box<str>>>,
    pub publish: Vec<Spanned<SubjectPattern>>,
    pub subscribe: Vec<Spanned<SubjectPattern>>,
}

const NAME: Hint<'_> = Hint {
    write: "name = \"my-domain\"",
    means: "one word of your own, in lower case; every subject has it, so it stays as it is once events are stored",
};

const DNS: &str = "dns = \"my-domain.example\"";

const DNS_MEANS: &str = "the DNS zone in which machines are found, as <machine>.<dns>, where they do not say `network.host`; `up` asks no DNS server";

impl Domain {
    pub(super) fn read(file: &mut File, table: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, table, top);
        let name = reader.required("name", NAME, word(DomainName::parse));
        let write = name.as_ref().map_or(DNS.to_owned(), |name| format!("dns = \"{}.example\"", name.value));
        let dns = reader.required("dns", Hint { write: &write, means: DNS_MEANS }, word(HostName::parse));
        let doc = reader.optional("doc", text);
        let account = reader.optional("account", word(AccountName::parse));
        let subjects = reader.optional("subjects", text);
        let zone = reader.optional("zone", word(ZoneName::parse));
        let events = reader.set_of("events", word(EventSetName::parse));
        let external = reader.set_of("external", word(MessageName::parse));
        let zones = reader.each("zones", ZoneName::parse, Zone::read);
        let clusters = reader.each("clusters", MachineName::parse, Cluster::read);
        let roles = reader.each("roles", RoleName::parse, Role::read);
        let body = Body::read(&mut reader);
        reader.finish();
        Some(Self {
            source,
            // Its absence was said; the rest is judged with a name that stands for it.
            dns: dns.or_else(|| stand_in(name.as_ref()?.span))?,
            name: name?,
            doc,
            account,
            subjects,
            zone,
            zones,
            clusters,
            roles,
            events,
            external,
            body,
        })
    }
}

/// RFC 2606: a name that nobody has.
fn stand_in(span: Span) -> Option<Spanned<HostName>> {
    HostName::parse("domain.invalid").ok().map(|name| Spanned::new(name, span))
}

impl Zone {
    fn read(file: &mut File, name: Spanned<ZoneName>, table: Table, span: Span) -> Option<Self> {
        let mut reader = Reader::new(file, table, span);
        let doc = reader.optional("doc", text);
        let body = Body::read(&mut reader);
        reader.finish();
        Some(Self { name, doc, body })
    }
}

impl Cluster {
    fn read(file: &mut File, name: Spanned<MachineName>, table: Table, span: Span) -> Option<Self> {
        let mut reader = Reader::new(file, table, span);
        let doc = reader.optional("doc", text);
        let members = reader.required("members", "members = [\"oak\", \"ash\", \"elm\"]", |file, key, value| {
            let span = value.span;
            let mut members = list(word(MachineName::parse))(file, key, value)?;
            once(file, &mut members);
            Some((members, span))
        });
        let body = Body::read(&mut reader);
        reader.finish();
        let (members, members_span) = members?;
        Some(Self { name, doc, members, members_span, body })
    }
}

impl Role {
    fn read(file: &mut File, name: Spanned<RoleName>, table: Table, span: Span) -> Option<Self> {
        let mut reader = Reader::new(file, table, span);
        let doc = reader.optional("doc", text);
        let publish = reader.list_of("publish", word(SubjectPattern::parse));
        let subscribe = reader.list_of("subscribe", word(SubjectPattern::parse));
        reader.finish();
        Some(Self { name, doc, publish, subscribe })
    }
}
