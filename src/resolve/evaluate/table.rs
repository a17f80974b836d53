//! Maps and records: key by key, with what `[remove]` and `[force]` take away.
//!
//! Refuses: an entry that only a removed definition spoke of, and removing what nobody put there.

use super::{Children, Cut, Evaluation, Extra, Here, Out, child_of, collect, keys_of, memo, nothing_to_remove};
use crate::resolve::layers::{Layer, Node, Rank, What, push};
use crate::resolve::schema::{BUILT_IN, Default};
use crate::resolve::types::Type;
use crate::resolve::val::Val;
impl<'e, 'a> Evaluation<'e, 'a> {
    pub(super) fn table(&mut self, path: &mut String, here: Here<'e, 'a>, extras: &[Extra]) -> Out {
        let Here { kind, node, cut, default } = here;
        let mut extras = extras.to_vec();
        if let Some(default) = default {
            match self.default(path, kind, Some(default)) {
                Out::Value(value) => extras.push(Extra { rank: Rank::WEAKEST, span: BUILT_IN, value }),
                Out::Absent => {}
                Out::Failed => return Out::Failed,
            }
        }
        for def in self.standing(node, cut) {
            if let What::Written(written) = &def.what {
                match self.written((path, kind), written, &memo(path, def.span)) {
                    Out::Value(value) => extras.push(Extra { rank: def.rank, span: def.span, value }),
                    Out::Absent => {}
                    Out::Failed => return Out::Failed,
                }
            }
        }
        if matches!(kind, Type::Optional(_)) && extras.is_empty() && !node.is_some_and(|node| self.live(node, cut)) {
            return Out::Absent;
        }
        if !self.removals_are_sound(path, (node, cut), &extras) {
            return Out::Failed;
        }
        let mut entries = vec![];
        let mut failed = false;
        let span = node.and_then(|node| node.key).unwrap_or(self.origin);
        match kind.inner() {
            Type::Record(record) => {
                let mut children = Children::of(node);
                for (key, field) in &record.fields {
                    let child = children.at(key);
                    let (cut, extras) = self.below((node, cut), &extras, key);
                    if let (None, true, Some(Default::Fixed(value))) = (child, extras.is_empty(), &field.default)
                        && !matches!(field.kind.inner(), Type::Map(..) | Type::Record(_))
                    {
                        entries.push((key.clone(), value.clone()));
                        continue;
                    }
                    let before = push(path, key);
                    let out = self.typed(
                        path,
                        Here { kind: &field.kind, node: child, cut, default: field.default.as_ref() },
                        &extras,
                    );
                    let out = self.required(out, (path, &field.kind), span);
                    path.truncate(before);
                    failed |= collect(&mut entries, key, out);
                }
            }
            Type::Map(_, inner) => {
                for key in keys_of(node, &extras) {
                    let child = child_of(node, &key);
                    let (cut, extras) = self.below((node, cut), &extras, &key);
                    if extras.is_empty() && !child.is_some_and(|child| self.live(child, cut)) {
                        continue;
                    }
                    let before = push(path, &key);
                    self.keys.push(key.clone());
                    self.place_entry(path, child);
                    let out = self.typed(path, Here { kind: inner, node: child, cut, default: None }, &extras);
                    let out = self.required(out, (path, inner), span);
                    self.keys.pop();
                    path.truncate(before);
                    failed |= collect(&mut entries, &key, out);
                }
            }
            _ => {}
        }
        if failed { Out::Failed } else { Out::Value(Val::Map(entries.into())) }
    }

    /// What is cut from a child, and what extras say about it.
    pub(super) fn below(
        &mut self,
        (node, cut): (Option<&'e Node<'a>>, Cut),
        extras: &[Extra],
        key: &str,
    ) -> (Cut, Vec<Extra>) {
        let cut = node.map_or(cut, |node| self.descend(node, cut, key));
        let stands = |extra: &&Extra| extra.rank.layer >= cut.layer && extra.rank >= cut.rank;
        let part = |extra: &Extra| extra.value.get(key).map(|value| Extra { value: value.clone(), ..*extra });
        (cut, extras.iter().filter(stands).filter_map(part).collect())
    }

    pub fn descend(&mut self, node: &'e Node<'a>, mut cut: Cut, key: &str) -> Cut {
        for def in &node.defs {
            match &def.what {
                What::Replace if self.stands(def, cut) => cut.rank = cut.rank.max(def.rank),
                What::Remove(items)
                    if items.iter().any(|item| matches!(&item.value, Val::Text(name) if **name == *key))
                        && self.is_on(def.block) =>
                {
                    cut.layer = cut.layer.max(def.rank.layer);
                }
                _ => {}
            }
        }
        cut
    }

    /// Does any definition here or below count?
    pub(super) fn live(&mut self, node: &'e Node<'a>, cut: Cut) -> bool {
        node.defs.iter().any(|def| !matches!(def.what, What::Remove(_)) && self.stands(def, cut))
            || node.children.iter().any(|(key, child)| {
                let cut = self.descend(node, cut, key);
                self.live(child, cut)
            })
    }

    pub(super) fn removals_are_sound(
        &mut self,
        path: &str,
        (node, cut): (Option<&'e Node<'a>>, Cut),
        extras: &[Extra],
    ) -> bool {
        let Some(node) = node else { return true };
        let mut sound = true;
        for (layer, gone) in self.removes(Some(node)) {
            let Val::Text(key) = &gone.value else { continue };
            let weaker = node.children.get(key).is_some_and(|child| self.weaker(child, layer, cut))
                || extras.iter().any(|extra| extra.rank.layer < layer && extra.value.get(key).is_some());
            if !weaker {
                let error = nothing_to_remove(path, &gone, keys_of(Some(node), extras).iter().map(ToString::to_string));
                self.report.push(error);
                sound = false;
            }
        }
        sound
    }

    /// Is there a definition of a weaker layer here or below?
    pub(super) fn weaker(&mut self, node: &'e Node<'a>, layer: Layer, cut: Cut) -> bool {
        node.defs
            .iter()
            .any(|def| !matches!(def.what, What::Remove(_)) && def.rank.layer < layer && self.stands(def, cut))
            || node.children.values().any(|child| self.weaker(child, layer, cut))
    }
}
