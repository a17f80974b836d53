//! Where options were written: path → place. Every machine keeps its own until the rules have run, so they lie close together.
//!
//! Refuses: change. What is noted while a machine is evaluated is put in order once.

use crate::diag::Span;

/// Sorted by path: one text with all paths, and for each where it ends.
#[derive(Clone, Debug, Default)]
pub struct Places {
    paths: Box<str>,
    rows: Box<[(u32, Span)]>,
}

impl Places {
    pub fn get(&self, path: &str) -> Option<Span> {
        let (mut low, mut high) = (0, self.rows.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.path(middle).cmp(path) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(self.rows[middle].1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// In the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Span)> {
        self.rows.iter().enumerate().map(|(at, (_, span))| (self.path(at), *span))
    }

    fn path(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before].0);
        &self.paths[start as usize..self.rows[at].0 as usize]
    }
}

/// Of two places for one path the later one counts.
impl<P: AsRef<str>> FromIterator<(P, Span)> for Places {
    fn from_iter<I: IntoIterator<Item = (P, Span)>>(places: I) -> Self {
        let mut noted = Noted::default();
        places.into_iter().for_each(|(path, span)| noted.insert(path.as_ref(), span));
        noted.finish()
    }
}

/// Places in the order in which they were noted.
#[derive(Debug, Default)]
pub struct Noted {
    paths: String,
    rows: Vec<(usize, usize, Span)>,
}

impl Noted {
    pub fn insert(&mut self, path: &str, span: Span) {
        let start = self.paths.len();
        self.paths.push_str(path);
        self.rows.push((start, self.paths.len(), span));
    }

    pub fn get(&self, path: &str) -> Option<Span> {
        self.iter().rev().find(|(noted, _)| *noted == path).map(|(_, span)| span)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, Span)> {
        self.rows.iter().map(|(start, end, span)| (&self.paths[*start..*end], *span))
    }

    pub fn finish(self) -> Places {
        let mut sorted: Vec<(&str, Span)> = self.iter().collect();
        sorted.sort_by_key(|(path, _)| *path);
        let mut paths = String::with_capacity(self.paths.len());
        let mut rows = Vec::with_capacity(sorted.len());
        for (at, (path, span)) in sorted.iter().enumerate() {
            if sorted.get(at + 1).is_none_or(|(next, _)| next != path) {
                paths.push_str(path);
                rows.push((u32::try_from(paths.len()).unwrap_or(u32::MAX), *span));
            }
        }
        Places { paths: paths.into(), rows: rows.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::SourceId;

    #[test]
    fn each_path_has_the_place_that_was_noted_last() {
        let at = |start: usize| Span::new(SourceId(0), start..start + 1);
        let noted = [("streams.b", 1), ("leaf.listen", 2), ("streams", 3), ("streams.b", 4), ("", 5)];
        let places: Places = noted.iter().map(|(path, start)| (*path, at(*start))).collect();
        let all: Vec<_> = places.iter().collect();
        assert_eq!(all, [("", at(5)), ("leaf.listen", at(2)), ("streams", at(3)), ("streams.b", at(4))]);
        assert!(all.iter().all(|(path, span)| places.get(path) == Some(*span)));
        assert_eq!([places.get("leaf"), places.get("streams.c"), Places::default().get("")], [None; 3]);
    }
}
