//! The hub credential and the sets of the leaf's own users on real servers: a hub in operator mode and two leaves.
//! Every line is necessary (without it something fails), and every attack fails.

mod attacks;
pub mod layout;
pub mod raw;

use layout::Function::{self, Answer, Ask, Check, Mirror, Pull, Read, Source};
use layout::Layout;
use leafwright::identity::{Permissions, sets};
use std::collections::BTreeSet;

/// A line of the office's hub credential and what fails without it; measured. The lines of one round are taken away
/// together: they are chosen so that each breaks something else.
struct Line(usize, &'static str, &'static str, &'static [Function]);

const LINES: &[Line] = &[
    Line(0, "publish", "$JS.S.office.>", &[Source]),
    Line(0, "publish", "$JS.FC.EVT.>", &[Mirror]),
    Line(0, "publish", "$JS.ACK.CMD.todos.>", &[Pull]),
    Line(0, "publish", "qry.meadow.weather.now", &[Ask]),
    Line(0, "publish", "_INBOX.*.web.>", &[Answer]),
    Line(1, "publish", "$JSC.R.*", &[Source]),
    Line(1, "publish", "$JS.hub.API.CONSUMER.CREATE.EVT", &[Mirror]),
    Line(1, "publish", "$JS.hub.API.CONSUMER.INFO.CMD.todos", &[Pull]),
    Line(0, "publish", "$JS.hub.API.CONSUMER.CREATE.PRV.office", &[Read]),
    Line(1, "publish", "$JS.hub.API.CONSUMER.MSG.NEXT.PRV.office", &[Read]),
    Line(2, "publish", "$JS.hub.API.CONSUMER.DELETE.PRV.office", &[Read]),
    Line(1, "subscribe", "qry.meadow.todos.list", &[Answer]),
    Line(2, "subscribe", "$JS.FC.EVT-office.>", &[Source]),
    Line(2, "publish", "$JS.hub.API.CONSUMER.CREATE.EVT.>", &[Mirror]),
    Line(2, "publish", "$JS.hub.API.CONSUMER.MSG.NEXT.CMD.todos", &[Pull]),
    Line(3, "subscribe", "$JS.office.API.>", &[Source]),
    Line(3, "subscribe", "$JS.M.office.>", &[Mirror]),
    Line(3, "subscribe", "_INBOX.office.>", &[Pull, Ask, Check, Read]),
    Line(4, "subscribe", "$JSC.R.*", &[Mirror]),
    Line(4, "publish", "$JS.hub.API.INFO", &[Check]),
];

fn without<'a>(permissions: &Permissions, lines: impl Iterator<Item = &'a Line>) -> Permissions {
    let mut less = permissions.clone();
    for Line(_, direction, line, _) in lines {
        let rules = if *direction == "publish" { &mut less.publish } else { &mut less.subscribe };
        assert!(rules.allow.remove(*line), "{direction} {line} is not in the credential");
    }
    less
}

async fn fails_in(round: usize, full: &Permissions) {
    let taken: Vec<&Line> = LINES.iter().filter(|line| line.0 == round).collect();
    let expected: BTreeSet<Function> = taken.iter().flat_map(|line| line.3).copied().collect();
    let layout = Layout::start(&without(full, taken.iter().copied())).await;
    assert_eq!(layout.failing(&expected).await, expected, "round {round}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_hub_credential_is_necessary() {
    let full = sets::hub_credential(&layout::office());
    let nothing = without(&full, LINES.iter());
    assert_eq!((nothing.publish.allow, nothing.subscribe.allow), Default::default(), "a line is missing in the table");
    tokio::join!(fails_in(0, &full), fails_in(1, &full));
    tokio::join!(fails_in(2, &full), fails_in(3, &full));
    // The last round has all but one function working; the one after it is the whole credential.
    tokio::join!(fails_in(4, &full), fails_in(5, &full));
}
