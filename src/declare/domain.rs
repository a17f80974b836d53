//! `domain.toml`: name, DNS zone, subject grammar, zones, clusters, roles, policies.

use super::module::Body;
use crate::diag::{SourceId, Span, Spanned};
use crate::name::{AccountName, DomainName, EventSetName, HostName, MachineName, MessageName, RoleName, SubjectPattern, ZoneName};
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
