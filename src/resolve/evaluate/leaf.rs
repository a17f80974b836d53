//! Scalars take the strongest definition; lists and sets collect what the layers say.
//!
//! Refuses: choosing between two definitions of one rank.

use super::{Cut, Evaluation, Extra, Here, Out, conflict, elements, memo, nothing_to_remove};
use crate::diag::{Span, Spanned};
use crate::resolve::fit;
use crate::resolve::layers::{Class, Def, Layer, Node, Rank, What};
use crate::resolve::schema::Default;
use crate::resolve::types::Type;
use crate::resolve::val::Val;
impl<'e, 'a> Evaluation<'e, 'a> {

    pub(super) fn scalar(&mut self, path: &str, here: Here<'e, 'a>, extras: &[Extra]) -> Out {
        let Here { kind, node, cut, default } = here;
        let defs = self.standing(node, cut);
        let best = defs.iter().map(|def| def.rank).chain(extras.iter().map(|extra| extra.rank)).max();
        let Some(best) = best else { return self.default(path, kind, default) };
        let mut winner: Option<(Val, Span)> = None;
        let winners: Vec<&'e Def<'a>> = defs.into_iter().filter(|def| def.rank == best).collect();
        for def in &winners {
            let out = match &def.what {
                What::Value(value) => Out::Value(value.clone()),
                What::Written(written) => self.written((path, kind), written, &memo(path, def.span)),
                _ => continue,
            };
            let value = match out {
                Out::Value(value) => value,
                other => return other,
            };
            match &winner {
                Some((first, span)) if *first != value => {
                    let error = conflict(path, (first, *span), (&value, def.span), best);
                    self.report.push(error);
                    return Out::Failed;
                }
                Some(_) => {}
                None => {
                    self.place(path, def);
                    winner = Some((value, def.span));
                }
            }
        }
        for extra in extras.iter().filter(|extra| extra.rank == best) {
            match &winner {
                Some((first, span)) if *first != extra.value => {
                    let error = conflict(path, (first, *span), (&extra.value, extra.span), best);
                    self.report.push(error);
                    return Out::Failed;
                }
                Some(_) => {}
                None => winner = Some((extra.value.clone(), extra.span)),
            }
        }
        match winner {
            Some((Val::Null, _)) => Out::Absent,
            Some((value, _)) => Out::Value(value),
            None => Out::Absent,
        }
    }

    pub(super) fn default(&mut self, path: &str, kind: &'a Type, default: Option<&'a Default>) -> Out {
        match default {
            None => Out::Absent,
            Some(Default::Fixed(value)) => Out::Value(value.clone()),
            Some(Default::Written(written)) => self.written((path, kind), written, path),
        }
    }

    /// The definitions that count here: switched on, and not taken away further up.
    pub fn standing(&mut self, node: Option<&'e Node<'a>>, cut: Cut) -> Vec<&'e Def<'a>> {
        let Some(node) = node else { return vec![] };
        node.defs.iter().filter(|def| self.stands(def, cut) && matches!(def.what, What::Value(_) | What::Written(_))).collect()
    }

    pub fn stands(&mut self, def: &Def<'a>, cut: Cut) -> bool {
        def.rank.layer >= cut.layer && def.rank >= cut.rank && self.is_on(def.block)
    }


    pub(super) fn list(&mut self, path: &str, here: Here<'e, 'a>, extras: &[Extra]) -> Out {
        let Here { kind, node, cut, default } = here;
        let defs = self.standing(node, cut);
        let removes = self.removes(node);
        let classes = defs.iter().map(|def| def.rank).chain(extras.iter().map(|extra| extra.rank));
        let Some(best) = classes.max() else {
            let out = self.default(path, kind, default);
            return if removes.is_empty() { out } else { self.without((path, kind), out, &removes) };
        };
        let counts = |rank: Rank| match best.class {
            Class::Settings => rank.class == Class::Settings,
            Class::Default | Class::Force => rank == best,
        };
        let mut items: Vec<(Layer, Val)> = vec![];
        let mut forced: Option<(Val, Span)> = None;
        for def in defs.into_iter().filter(|def| counts(def.rank)) {
            let out = match &def.what {
                What::Value(value) => Out::Value(value.clone()),
                What::Written(written) => self.written((path, kind), written, &memo(path, def.span)),
                _ => continue,
            };
            let value = match out {
                Out::Value(value) => value,
                Out::Absent => continue,
                Out::Failed => return Out::Failed,
            };
            if best.class == Class::Force {
                match &forced {
                    Some((first, span)) if *first != value => {
                        let error = conflict(path, (first, *span), (&value, def.span), best);
                        self.report.push(error);
                        return Out::Failed;
                    }
                    Some(_) => continue,
                    None => forced = Some((value.clone(), def.span)),
                }
            }
            self.place(path, def);
            items.extend(elements(&value).iter().map(|item| (def.rank.layer, item.clone())));
        }
        for extra in extras.iter().filter(|extra| counts(extra.rank)) {
            items.extend(elements(&extra.value).iter().map(|item| (extra.rank.layer, item.clone())));
        }
        // Bases are laid before machines, and imports before importers, so only layers can be out of order.
        items.sort_by_key(|(layer, _)| *layer);
        for (layer, gone) in &removes {
            let before = items.len();
            items.retain(|(from, item)| from >= layer || *item != gone.value);
            if items.len() == before {
                let error = nothing_to_remove(path, gone, items.iter().map(|(_, item)| item.to_string()));
                self.report.push(error);
                return Out::Failed;
            }
        }
        let items: Vec<Val> = items.into_iter().map(|(_, item)| item).collect();
        Out::Value(if matches!(kind.inner(), Type::Set(_)) { fit::as_set(&items) } else { Val::List(items.into()) })
    }

    /// A default list without what `[remove]` names.
    pub(super) fn without(&mut self, (path, kind): (&str, &Type), out: Out, removes: &[(Layer, Spanned<Val>)]) -> Out {
        let mut items = match &out {
            Out::Value(value) => elements(value).to_vec(),
            Out::Absent => vec![],
            Out::Failed => return Out::Failed,
        };
        for (_, gone) in removes {
            let before = items.len();
            items.retain(|item| *item != gone.value);
            if items.len() == before {
                let error = nothing_to_remove(path, gone, items.iter().map(ToString::to_string));
                self.report.push(error);
                return Out::Failed;
            }
        }
        Out::Value(if matches!(kind.inner(), Type::Set(_)) { fit::as_set(&items) } else { Val::List(items.into()) })
    }

    /// What `[remove]` names here, and from which layer on it stays.
    pub(super) fn removes(&mut self, node: Option<&'e Node<'a>>) -> Vec<(Layer, Spanned<Val>)> {
        let Some(node) = node else { return vec![] };
        let mut removes = vec![];
        for def in &node.defs {
            if let What::Remove(items) = &def.what
                && self.is_on(def.block)
            {
                removes.extend(items.iter().map(|item| (def.rank.layer, item.clone())));
            }
        }
        removes
    }
}
