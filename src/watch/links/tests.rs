//! What is said, and what is not.

use super::*;
use crate::proto::WorkerId;

const A: LinkId = LinkId(0);
const B: LinkId = LinkId(1);

/// Links with a clock of their own; what they say is kept with the second in which it is said.
struct Story {
    links: Links,
    start: Instant,
    ms: u64,
    notes: Vec<String>,
}

impl Story {
    fn new(names: &[&str]) -> Story {
        let start = Instant::now();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let links = Links::new(names, Some(Duration::from_secs(120)), start);
        Story { links, start, ms: 0, notes: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    fn tell(&mut self, fact: Fact) {
        self.links.hear(self.now(), fact);
    }

    fn up(&mut self, link: LinkId) {
        self.tell(Fact::Up { worker: WorkerId(7), link, peer: format!("10.0.0.{}:5000", link.0) });
    }

    fn down(&mut self, link: LinkId) {
        self.tell(Fact::Down { worker: WorkerId(7), link, cause: "it broke".into() });
    }

    fn missed(&mut self, link: LinkId, cause: &str) {
        self.tell(Fact::Missed { link, cause: cause.into() });
    }

    /// Looks ten times a second, as the watch does.
    fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        while self.ms < end {
            self.ms += 100;
            while let Some(line) = self.links.poll(self.now()) {
                self.notes.push(format!("{} {line}", self.ms / 1000));
            }
        }
    }

    fn said(&mut self) -> Vec<String> {
        let said = std::mem::take(&mut self.notes);
        said.into_iter().map(|line| line.replace("viamillipede: ", "")).collect()
    }
}

#[test]
fn a_link_that_dies_and_comes_back_is_a_line_each() {
    let mut story = Story::new(&["a:1", "b:1"]);
    story.up(A);
    story.up(A);
    story.up(B);
    story.pass(3000);
    story.down(A);
    story.pass(1000);
    assert!(story.said().is_empty(), "it has another connection");
    story.down(A);
    story.missed(A, "Connection refused");
    story.pass(16_000);
    assert_eq!(story.said(), ["4 link a:1 is down: it broke; going on with 1 other"]);
    story.up(A);
    story.pass(20_000);
    assert_eq!(story.said(), ["20 link a:1 is back"]);
}

#[test]
fn a_link_that_cannot_be_reached_while_another_works_is_down() {
    let mut story = Story::new(&["a:1", "b:1", "c:1"]);
    story.missed(B, "Connection refused");
    story.up(A);
    story.up(LinkId(2));
    story.pass(1000);
    assert_eq!(story.said(), ["0 link b:1 is down: Connection refused; going on with 2 others"]);
    for _ in 0..60 {
        story.missed(B, "connection timed out");
        story.pass(1000);
    }
    assert!(story.said().is_empty(), "it is known to be down");
}

#[test]
fn a_link_that_is_no_more_is_not_said_to_be_tried_again() {
    let mut story = Story::new(&["here", "through ssh"]);
    story.up(A);
    story.down(A);
    story.up(B);
    story.pass(1_000);
    assert_eq!(story.said(), ["0 link here is down: it broke; going on with 1 other"]);
    story.down(B);
    story.tell(Fact::WayOver(B));
    story.missed(B, "it has ended");
    story.pass(1_000);
    assert_eq!(story.said(), ["1 link through ssh is down: it broke; trying the others again"]);
}

#[test]
fn a_link_that_is_up_again_at_once_is_no_news() {
    let mut story = Story::new(&["a:1"]);
    story.up(A);
    story.down(A);
    story.pass(200);
    story.up(A);
    story.pass(60_000);
    assert!(story.said().is_empty());
}

#[test]
fn a_flapping_link_is_a_line_every_ten_seconds_with_a_count() {
    let mut story = Story::new(&["a:1", "b:1"]);
    story.up(B);
    for _ in 0..60 {
        story.up(A);
        story.pass(300);
        story.down(A);
        story.pass(700);
    }
    let said = story.said();
    assert_eq!(said[0], "0 link a:1 is down: it broke; going on with 1 other");
    assert_eq!(said[1], "1 link a:1 is back");
    assert!(said[2..].iter().all(|line| line.contains("10 times in 10 s")), "{said:?}");
    assert!((6..=8).contains(&said.len()), "{said:?}");
    // In the end it is said how it stands.
    story.up(A);
    story.pass(30_000);
    assert!(story.said().last().is_some_and(|line| line.ends_with("is back")));
}

#[test]
fn losses_that_are_always_mended_at_once_are_counted_too() {
    let mut story = Story::new(&["a:1"]);
    story.up(A);
    for _ in 0..100 {
        story.down(A);
        story.pass(100);
        story.up(A);
        story.pass(100);
    }
    let said = story.said();
    assert!((1..=2).contains(&said.len()), "{said:?}");
    assert!(said[0].contains("link a:1 was lost") && said[0].contains("and is back"), "{said:?}");
}

#[test]
fn the_end_of_the_session_is_no_loss() {
    let mut story = Story::new(&[]);
    story.up(A);
    story.pass(5000);
    story.down(A);
    story.pass(300);
    story.tell(Fact::Over);
    story.missed(A, "Connection refused");
    story.pass(60_000);
    assert!(story.said().is_empty());
}

#[test]
fn a_run_that_is_over_has_no_more_news() {
    let mut story = Story::new(&["a:1", "b:1"]);
    story.pass(900);
    story.missed(A, "Connection refused");
    story.missed(B, "Connection refused");
    story.links.look(story.now() + HOLD);
    assert_eq!(story.links.lines.len(), 1, "no connection yet");
    story.tell(Fact::Over);
    story.pass(60_000);
    assert!(story.said().is_empty());
}

#[test]
fn why_the_other_end_is_still_waited_for_is_told_after_the_end_too() {
    let mut story = Story::new(&["a:1"]);
    story.up(A);
    story.tell(Fact::Over);
    story.tell(Fact::Unheard("--source: exit status 3".into()));
    story.down(A);
    story.pass(60_000);
    assert_eq!(story.said(), ["0 still telling the other end: --source: exit status 3"]);
}

#[test]
fn where_this_end_listens_links_are_named_by_the_other_ends_address() {
    let mut story = Story::new(&[]);
    story.pass(60_000);
    assert!(story.said().is_empty(), "it may wait for ever");
    story.up(B);
    story.down(B);
    story.pass(1000);
    let expected = "60 link from 10.0.0.1 is down: it broke; waiting for it to come back";
    assert_eq!(story.said(), [expected]);
}

#[test]
fn who_dials_in_vain_says_why_and_again_when_the_cause_changes() {
    let mut story = Story::new(&["a:1", "b:1"]);
    story.missed(A, "Connection refused");
    story.pass(900);
    assert!(story.said().is_empty());
    story.pass(30_000);
    let why = "a:1: Connection refused; b:1: no answer yet; trying on for 120 s";
    assert_eq!(story.said(), [format!("1 cannot connect yet: {why}")]);
    for cause in ["one", "two", "three", "four"].repeat(5) {
        story.missed(B, cause);
        story.pass(1000);
    }
    let said = story.said();
    let now = said.iter().map(|line| line.split_once(' ').expect("a second").0);
    assert_eq!(
        now.clone().take(4).collect::<Vec<_>>(),
        ["31", "32", "33", "34"],
        "at once: {said:?}"
    );
    assert_eq!(now.count(), 5, "then each ten seconds at most: {said:?}");
    story.up(B);
    story.pass(400);
    assert_eq!(story.said(), ["51 connected over link b:1"]);
}

#[test]
fn who_was_refused_is_said_but_not_again_and_again() {
    let mut story = Story::new(&[]);
    let refused =
        |peer: &str| Fact::Refused { peer: peer.into(), cause: "\x1b[2Jno".into(), others: 0 };
    for _ in 0..300 {
        story.tell(refused("10.0.0.9"));
        story.pass(100);
    }
    assert_eq!(story.said(), ["0 refused 10.0.0.9: ?[2Jno"]);
    for host in 0..300 {
        story.tell(refused(&format!("10.0.1.{host}")));
        story.pass(100);
    }
    let said = story.said();
    assert!((3..=4).contains(&said.len()), "{said:?}");
    assert!(said[0].ends_with("299 others since the last such line"), "{said:?}");
}

#[test]
fn a_refusal_for_another_cause_is_said_at_once_but_is_no_flood() {
    let mut story = Story::new(&[]);
    let refused =
        |cause: &str| Fact::Refused { peer: "10.0.0.9".into(), cause: cause.into(), others: 0 };
    story.tell(refused("wrong key"));
    story.pass(300);
    story.tell(refused("wrong name"));
    story.pass(300);
    assert_eq!(story.said(), ["0 refused 10.0.0.9: wrong key", "0 refused 10.0.0.9: wrong name"]);
    // Who thinks of a new one each time is not told of for ever.
    for cause in 0..300 {
        story.tell(refused(&cause.to_string()));
        story.pass(100);
    }
    let said = story.said();
    assert!((8..=9).contains(&said.len()), "{said:?}");
    assert!(said[5].ends_with("refused 10.0.0.9: 5"), "{said:?}");
}

#[test]
fn a_link_that_is_passed_over_is_said_once_until_it_was_away() {
    let mut story = Story::new(&["a:1", "b:1"]);
    story.tell(Fact::PassedOver(B));
    story.pass(100);
    assert!(story.said().is_empty(), "it has no connection");
    story.up(A);
    story.up(B);
    for _ in 0..100 {
        story.tell(Fact::PassedOver(B));
        story.pass(1000);
    }
    assert_eq!(story.said(), ["0 link b:1 is passed over: it is too slow to help"]);
    story.down(B);
    story.pass(1000);
    story.up(B);
    story.tell(Fact::PassedOver(B));
    story.pass(1000);
    assert_eq!(story.said().len(), 3, "down, passed over, back");
}

#[test]
fn a_thousand_links_that_die_are_no_flood() {
    let mut story = Story::new(&[]);
    for _ in 0..3 {
        for link in (0..1000).map(LinkId) {
            story.up(link);
        }
        story.pass(1000);
        for link in (0..1000).map(LinkId) {
            story.down(link);
        }
        story.pass(10_000);
    }
    let said = story.said();
    assert!((NOTES as usize..5 * NOTES as usize).contains(&said.len()), "{} lines", said.len());
    assert!(said.iter().any(|line| line.contains("such lines were left out")), "{said:?}");
}
