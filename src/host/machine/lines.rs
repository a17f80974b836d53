//! The lines that went and came between two texts.
//!
//! Refuses: context, and texts that are none or too long: of those it says so.

/// Over this many pairs of lines the shortest difference costs more than it tells.
const PAIRS_MAX: usize = 4_000_000;

/// `-` before lines of `old` alone, `+` before those of `new` alone, in order. Lines of a unit are headed by their section.
pub fn between(old: &[u8], new: &[u8]) -> Vec<String> {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return vec![format!("-{} bytes", old.len()), format!("+{} bytes", new.len())];
    };
    let (old, new) = (headed(old), headed(new));
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same], &new[..new.len() - same]);
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        return vec![format!("-{} lines", old.len()), format!("+{} lines", new.len())];
    }
    shortest(old, new)
}

/// A directive says little without its section.
fn headed(text: &str) -> Vec<String> {
    let mut section = "";
    let lines = text.lines().map(|line| {
        if line.starts_with('[') && line.ends_with(']') && line.len() > 2 {
            section = line;
            return line.to_owned();
        }
        match section.is_empty() || line.is_empty() {
            true => line.to_owned(),
            false => format!("{section} {line}"),
        }
    });
    lines.collect()
}

/// By the longest common subsequence: `common[a][b]` is its length in `old[a..]` and `new[b..]`.
fn shortest(old: &[String], new: &[String]) -> Vec<String> {
    let mut common = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            common[a][b] =
                if old[a] == new[b] { common[a + 1][b + 1] + 1 } else { common[a + 1][b].max(common[a][b + 1]) };
        }
    }
    let (mut a, mut b, mut between) = (0, 0, vec![]);
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            (a, b) = (a + 1, b + 1);
        } else if a < old.len() && (b == new.len() || common[a + 1][b] >= common[a][b + 1]) {
            between.push(format!("-{}", old[a]));
            a += 1;
        } else {
            between.push(format!("+{}", new[b]));
            b += 1;
        }
    }
    between
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn lines_are_told_with_their_section() {
        let rows: [(&str, &str, &[&str]); 5] = [
            ("a\nb\nc\n", "a\nc\nd\n", &["-b", "+d"]),
            (
                "[Unit]\nA=1\n\n[Service]\nM=1\n",
                "[Unit]\nA=1\n\n[Service]\nM=2\n",
                &["-[Service] M=1", "+[Service] M=2"],
            ),
            ("", "x\n", &["+x"]),
            ("x\n", "x\n", &[]),
            ("a\nb\na\n", "b\na\nb\n", &["-a", "+b"]),
        ];
        for (old, new, expected) in rows {
            assert_eq!(between(old.as_bytes(), new.as_bytes()), expected, "{old:?} {new:?}");
        }
        assert_eq!(between(b"\xff", b"ab"), ["-1 bytes", "+2 bytes"]);
        let long = |what: &str| (0..2_100).map(|n| format!("{what}{n}\n")).collect::<String>();
        assert_eq!(between(long("a").as_bytes(), long("b").as_bytes()), ["-2100 lines", "+2100 lines"]);
    }
}
