//! Links, marks and curves agree on when something happened, also where the lines of a run do not know it well.

use super::{page, text, unplugged};
use serde_json::{Value, json};

#[test]
fn where_no_line_tells_when_a_connection_was_lost_it_is_marked_when_it_is_seen() {
    let mut lines = unplugged();
    for link in lines.iter_mut().flat_map(|line| line["links"].as_array_mut().expect("links")) {
        link.as_object_mut().expect("a link").remove("loss_age_s").expect("it was there");
    }
    let page = page(&text(&lines));
    let happened = page.picture("wide", "What held it up, and what happened");
    assert_eq!(happened.moments("lost"), [5.0]);
    assert_eq!(happened.bars("down"), [(5.0, 7.25)]);
    assert!(page.html.contains("2 connections lost</td><td>192.0.2.1:7000</td>"));
}

/// The same run as its receiver sees it, which does not notice that connections are dead until new ones replace them.
fn unnoticed() -> Vec<Value> {
    let mut lines = unplugged();
    let before = lines[3].clone();
    for line in &mut lines {
        line["role"] = json!("receiver");
        let second = line["elapsed_s"].as_f64().expect("a number");
        let link = &mut line["links"][0];
        link["loss_age_s"] = json!((second > 8.0).then_some(second - 7.3));
        if (4.5..7.5).contains(&second) {
            link["connections"] = json!(2);
            link["busy"] = json!(0);
            line["workers"] = before["workers"].clone();
            line["lost_connections"] = json!(0);
        }
        if second == 8.0 {
            line["links"][0]["loss_age_s"] = json!(0.7);
        }
    }
    lines
}

#[test]
fn dead_connections_that_a_receiver_still_has_are_no_idle_link() {
    let page = page(&text(&unnoticed()));
    let happened = page.picture("wide", "What held it up, and what happened");
    // Silent for longer than from one heartbeat to the next, and then for a moment without a connection.
    assert_eq!(happened.bars("idle"), [(4.0, 5.0)]);
    assert_eq!(happened.bars("stuck"), [(5.0, 7.25)]);
    assert_eq!(happened.bars("down"), [(7.25, 7.25)]);
    assert_eq!((happened.moments("lost"), happened.moments("made")), (vec![7.25], vec![7.25]));
    let place = |what: &str| {
        let row = format!("<td>2 connections {what}</td><td>192.0.2.1:7000</td>");
        page.html.find(&row).unwrap_or_else(|| panic!("{what}"))
    };
    assert!(place("lost") < place("made"), "one is lost before another is made in its place");
}

#[test]
fn every_curve_goes_to_the_end_of_the_run() {
    let mut lines = unplugged();
    // All is packed in the first seconds.
    let packed = lines[2].clone();
    for line in &mut lines[3..] {
        for field in ["packed_bytes", "raw_bytes", "source_bytes"] {
            line[field] = packed[field].clone();
        }
    }
    let page = page(&text(&lines));
    for (picture, inks) in [
        ("Throughput", &["stream", "link-0", "link-1"][..]),
        ("Compression", &["made"]),
        ("Window", &["link-0", "link-1", "link-5"]),
    ] {
        for ink in inks {
            assert_eq!(page.picture("wide", picture).ends(ink), (0.0, 12.1), "{picture}, {ink}");
        }
    }
}

#[test]
fn feet_that_were_never_sent_are_not_among_those_that_are_not_acknowledged() {
    let mut lines = unplugged();
    for line in &mut lines[..12] {
        (line["unacked_feet"], line["unsent_feet"]) = (json!(54), json!(52));
    }
    let page = page(&text(&lines));
    let window = page.picture("wide", "Window");
    assert_eq!((window.value("link-0", 6.5), window.value("link-1", 6.5)), (2.0, 52.0));
    assert!(page.html.contains("sent, and not acknowledged"));
}
