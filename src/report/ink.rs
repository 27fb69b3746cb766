//! The colours of the pictures, each in a light and a dark page.
//!
//! Pictures are drawn in the colours of the light page, each of which is another one, so that the style sheet can find and replace them. Does
//! not know who uses which.

use plotters::style::RGBColor;
use std::fmt::Write;

/// One colour, by the name that it has in the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink {
    pub(super) name: &'static str,
    light: u32,
    dark: u32,
}

const fn ink(name: &'static str, light: u32, dark: u32) -> Ink {
    Ink { name, light, dark }
}

pub(super) const TEXT: Ink = ink("text", 0x4b_535d, 0xa9_b3be);
pub(super) const GRID: Ink = ink("grid", 0xdd_e1e6, 0x2c_333b);
pub(super) const STREAM: Ink = ink("stream", 0x15_181c, 0xf2_f5f8);
pub(super) const WIRE: Ink = ink("wire", 0x8a_939d, 0x7d_8792);
pub(super) const IDLE: Ink = ink("idle", 0xc9_d0d8, 0x47_505a);
pub(super) const STUCK: Ink = ink("stuck", 0xf0_b400, 0xf2_c230);
pub(super) const DOWN: Ink = ink("down", 0xcf_222e, 0xff_5f56);
pub(super) const LOST: Ink = ink("lost", 0xd0_232f, 0xfe_6057);
pub(super) const MADE: Ink = ink("made", 0x1a_7f37, 0x4a_c26b);
pub(super) const RESENT: Ink = ink("resent", 0x6e_3fc4, 0xb7_96ff);
pub(super) const OTHER: Ink = ink("other", 0xa6_a6a6, 0x6f_6f6f);

/// Of links, the last one of those that have none of their own.
pub(super) const LINKS: [Ink; super::links::OWN_LINKS + 1] = [
    ink("link-0", 0x17_69aa, 0x62_b0f0),
    ink("link-1", 0xc7_5300, 0xff_a05c),
    ink("link-2", 0x00_7c70, 0x4b_d1c2),
    ink("link-3", 0xa8_2a7a, 0xf0_85c4),
    ink("link-4", 0x6b_6b00, 0xcf_cf4d),
    ink("link-5", 0x5b_4bc4, 0xa3_98ff),
    ink("link-6", 0x7a_4a21, 0xd2_a374),
    ink("link-7", 0x3b_7d1f, 0x8f_d06f),
    ink("link-8", 0x70_7880, 0x98_a1aa),
];

/// Of bottlenecks.
pub(super) const BOTTLENECKS: [(&str, Ink); 9] = [
    ("source", ink("source", 0xc2_b49b, 0x7d_705c)),
    ("compression", ink("compression", 0xe8_9a2c, 0xd8_8b20)),
    ("network", ink("network", 0x6b_7d97, 0x66_7893)),
    ("rate", ink("rate", 0x3f_9c9c, 0x4a_a8a8)),
    ("window", ink("window", 0x92_6cc4, 0x93_6fc9)),
    ("decompression", ink("decompression", 0xe0_6f4f, 0xd9_6a4a)),
    ("sink", ink("sink", 0xc0_4863, 0xc9_506c)),
    ("network or sender", ink("network-or-sender", 0x6c_7e98, 0x67_7994)),
    ("none", ink("none", 0xd8_d3ca, 0x4d_4a45)),
];

/// Of packing, from none to hard.
pub(super) const PACKINGS: [Ink; 6] = [
    ink("packing-0", 0xd3_dae1, 0x3e_464f),
    ink("packing-1", 0xbf_e3c6, 0x24_563a),
    ink("packing-2", 0x97_d0a6, 0x2f_7449),
    ink("packing-3", 0x65_b581, 0x3f_9560),
    ink("packing-4", 0x36_9160, 0x62_b881),
    ink("packing-5", 0x12_6842, 0x97_dcae),
];

impl Ink {
    /// The one that is drawn with.
    pub(super) fn colour(self) -> RGBColor {
        let [_, red, green, blue] = self.light.to_be_bytes();
        RGBColor(red, green, blue)
    }
}

/// The ink of a bottleneck.
pub(super) fn of_bottleneck(word: &str) -> Ink {
    BOTTLENECKS.iter().find(|(known, _)| *known == word).map_or(OTHER, |(_, ink)| *ink)
}

/// The ink of a packing: `none`, or `zstd` and a level.
pub(super) fn of_packing(word: &str) -> Ink {
    let level = word.strip_prefix("zstd ").and_then(|level| level.parse().ok());
    match (word, level) {
        ("none", _) => PACKINGS[0],
        (_, None) => OTHER,
        (_, Some(i64::MIN..=1)) => PACKINGS[1],
        (_, Some(2)) => PACKINGS[2],
        (_, Some(3)) => PACKINGS[3],
        (_, Some(4..=6)) => PACKINGS[4],
        (_, Some(_)) => PACKINGS[5],
    }
}

fn all() -> impl Iterator<Item = Ink> {
    let single = [TEXT, GRID, STREAM, WIRE, IDLE, STUCK, DOWN, LOST, MADE, RESENT, OTHER];
    let bottlenecks = BOTTLENECKS.iter().map(|(_, ink)| *ink);
    single.into_iter().chain(LINKS).chain(bottlenecks).chain(PACKINGS)
}

/// The rules that give each ink the colour of the page that it is on.
pub(super) fn css() -> String {
    let (mut light, mut dark, mut rules) = (String::new(), String::new(), String::new());
    for Ink { name, light: by_day, dark: by_night } in all() {
        write!(light, "--{name}:#{by_day:06X};").expect("a String takes all");
        write!(dark, "--{name}:#{by_night:06X};").expect("a String takes all");
        for what in ["fill", "stroke"] {
            let rule = format!("svg [{what}=\"#{by_day:06X}\"]{{{what}:var(--{name})}}\n");
            rules.push_str(&rule);
        }
    }
    format!(":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_ink_is_another_one() {
        let names: BTreeSet<&str> = all().map(|ink| ink.name).collect();
        let colours: BTreeSet<u32> = all().map(|ink| ink.light).collect();
        assert_eq!((names.len(), colours.len()), (all().count(), all().count()));
    }
}
