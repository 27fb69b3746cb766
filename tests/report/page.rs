//! A page as a reader of its source sees it: elements, totals, pictures with their axes.
//!
//! Strict where a browser is lenient: every element is closed, every attribute is quoted, every `<` and `&` of a
//! text is escaped. Does not know where a picture puts things; it reads that from the figures at the axes.

/// A page that was found well-formed.
pub struct Page {
    pub html: String,
    elements: Vec<Element>,
    style: String,
}

/// One element, as it was opened, and the text up to the next tag.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    /// The number of the picture that it is in.
    picture: Option<usize>,
}

/// A picture, with what is needed to read it.
pub struct Picture<'a> {
    page: &'a Page,
    elements: Vec<&'a Element>,
}

/// Elements that are never closed.
const VOID: [&str; 1] = ["meta"];

impl Page {
    pub fn parse(html: String) -> Page {
        let body = html.strip_prefix("<!DOCTYPE html>\n").expect("it says that it is HTML");
        let (mut elements, mut open, mut style) = (Vec::new(), Vec::new(), String::new());
        let (mut rest, mut pictures) = (body, 0);
        while let Some(start) = rest.find('<') {
            let end = start + rest[start..].find('>').expect("a tag has an end");
            let tag = &rest[start + 1..end];
            let after = &rest[end + 1..];
            let text = &after[..after.find('<').unwrap_or(after.len())];
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "tags are nested");
                continue;
            }
            let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "<{tag}>");
            if name == "style" {
                style = text.to_owned();
            } else {
                assert_escaped(text);
            }
            pictures += usize::from(name == "svg");
            if !is_closed && !VOID.contains(&name) {
                open.push(name.to_owned());
            }
            let is_in_picture = name == "svg" || open.iter().any(|open| open == "svg");
            elements.push(Element {
                name: name.into(),
                attributes: parse_attributes(attributes),
                text: text.trim().into(),
                picture: is_in_picture.then_some(pictures),
            });
        }
        assert!(open.is_empty(), "not closed: {open:?}");
        Page { elements, style, html }
    }

    /// It asks nobody for anything, and runs nothing.
    pub fn needs_nothing_else(&self) {
        let html = self.html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").to_lowercase();
        for reference in ["://", "src=", "href", "url(", "@import", "<script", "<link", "<iframe"] {
            assert!(!html.contains(reference), "{reference}");
        }
    }

    /// The cell beside this one in the table at the head.
    pub fn total(&self, head: &str) -> String {
        let at =
            self.html.find(&format!("<th>{head}</th><td>")).unwrap_or_else(|| panic!("no {head}"));
        let cell =
            self.html[at..].split_once("<td>").and_then(|(_, cell)| cell.split_once("</td>"));
        let cell = cell.expect("it has a cell").0;
        // What is left of it without tags.
        let parts = cell.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        parts.collect()
    }

    /// The names of all pictures of this class.
    pub fn pictures(&self, class: &str) -> Vec<String> {
        let all = self.elements.iter().filter(|it| it.name == "svg" && it.has("class", class));
        all.map(|svg| svg.attribute("aria-label").expect("it has a name").to_owned()).collect()
    }

    pub fn picture(&self, class: &str, name: &str) -> Picture<'_> {
        let is_it = |it: &&Element| it.has("class", class) && it.has("aria-label", name);
        let svg = self.elements.iter().find(is_it).unwrap_or_else(|| panic!("no {name}"));
        let elements = self.elements.iter().filter(|it| it.picture == svg.picture).collect();
        Picture { page: self, elements }
    }

    /// The colour of an ink, as it is drawn.
    fn colour(&self, ink: &str) -> &str {
        let at = self.style.split_once(&format!("--{ink}:")).unwrap_or_else(|| panic!("no {ink}"));
        &at.1[.."#RRGGBB".len()]
    }
}

impl Picture<'_> {
    /// Begin and end of each bar of this ink, each to a quarter of a unit of time.
    pub fn bars(&self, ink: &str) -> Vec<(f64, f64)> {
        let bars = self.of(ink).filter(|it| it.name == "rect");
        let time = |x: f64| (self.time(x) * 4.0).round() / 4.0;
        let bar = |it: &Element| (it.number("x"), it.number("x") + it.number("width"));
        bars.map(bar).map(|(from, to)| (time(from), time(to))).collect()
    }

    /// When there are marks of this ink, each to a quarter of a unit of time.
    pub fn moments(&self, ink: &str) -> Vec<f64> {
        self.moments_to(ink, 0.25)
    }

    /// When there are marks of this ink, each to so much.
    pub fn moments_to(&self, ink: &str, grain: f64) -> Vec<f64> {
        let middle = |it: &Element| {
            let points = it.points();
            points.iter().map(|point| point.0).sum::<f64>() / points.len() as f64
        };
        let grained = |x: f64| (self.time(x) / grain).round() * grain;
        let mut moments: Vec<f64> = self.of(ink).map(middle).map(grained).collect();
        moments.dedup();
        moments
    }

    /// What the curve of this ink says at this time, to a whole.
    pub fn value(&self, ink: &str, time: f64) -> f64 {
        let curve = self.curve(ink);
        let is_there =
            |step: &&[(f64, f64)]| self.time(step[0].0) <= time && time < self.time(step[1].0);
        let step = curve.windows(2).find(is_there).unwrap_or_else(|| panic!("{ink} at {time}"));
        assert_eq!(step[0].1, step[1].1, "between two lines a rate does not change");
        self.figure(step[0].1).round()
    }

    /// The least value of the curve of this ink, to a whole, and when that is.
    pub fn least(&self, ink: &str) -> (f64, f64) {
        let curve = self.curve(ink).into_iter();
        let lowest = curve.max_by(|one, other| one.1.total_cmp(&other.1)).expect("it has points");
        (self.figure(lowest.1).round(), self.time(lowest.0))
    }

    /// When the curve of this ink begins and ends, to a tenth of a unit of time.
    pub fn ends(&self, ink: &str) -> (f64, f64) {
        let time = |point: Option<&(f64, f64)>| {
            let x = point.expect("a curve has points").0;
            (self.time(x) * 10.0).round() / 10.0
        };
        let curve = self.curve(ink);
        (time(curve.first()), time(curve.last()))
    }

    fn curve(&self, ink: &str) -> Vec<(f64, f64)> {
        self.of(ink).find(|it| it.name == "polyline").expect("there is a curve").points()
    }

    fn of(&self, ink: &str) -> impl Iterator<Item = &Element> {
        let colour = self.page.colour(ink);
        let all = self.elements.iter().copied();
        all.filter(move |it| it.has("fill", colour) || it.has("stroke", colour))
    }

    fn time(&self, x: f64) -> f64 {
        self.along("middle", "x", x)
    }

    fn figure(&self, y: f64) -> f64 {
        self.along("end", "y", y)
    }

    /// A place on the axis whose figures have this anchor, by two of these figures.
    fn along(&self, anchor: &str, place: &str, at: f64) -> f64 {
        let figures =
            self.elements.iter().filter(|it| it.name == "text" && it.has("text-anchor", anchor));
        let figures =
            figures.filter_map(|it| Some((it.number(place), it.text.parse::<f64>().ok()?)));
        let mut figures: Vec<(f64, f64)> = figures.collect();
        figures.sort_by(|one, other| one.1.total_cmp(&other.1));
        let (Some(first), Some(last)) = (figures.first(), figures.last()) else {
            panic!("no figures")
        };
        first.1 + (at - first.0) * (last.1 - first.1) / (last.0 - first.0)
    }
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.attribute(name) == Some(value)
    }

    fn number(&self, name: &str) -> f64 {
        self.attribute(name).and_then(|value| value.parse().ok()).expect("it has a number")
    }

    /// The corners, or the middle of what has none.
    fn points(&self) -> Vec<(f64, f64)> {
        match (self.name.as_str(), self.attribute("points")) {
            (_, Some(points)) => {
                let points = points.split_whitespace().filter_map(|point| point.split_once(','));
                let number = |text: &str| text.parse::<f64>().expect("a number");
                points.map(|(x, y)| (number(x), number(y))).collect()
            }
            ("line", _) => {
                vec![(self.number("x1"), self.number("y1")), (self.number("x2"), self.number("y2"))]
            }
            ("circle", _) => vec![(self.number("cx"), self.number("cy"))],
            other => panic!("{other:?}"),
        }
    }
}

fn parse_attributes(mut text: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    while !text.trim().is_empty() {
        let (name, rest) = match text.trim_start().split_once("=\"") {
            Some((name, rest)) if !name.contains(' ') => (name, rest),
            // The one that has no value.
            _ => {
                assert_eq!(text.trim(), "open");
                return attributes;
            }
        };
        let (value, rest) = rest.split_once('"').expect("a value is quoted");
        assert_escaped(value);
        attributes.push((name.to_owned(), value.to_owned()));
        text = rest;
    }
    attributes
}

fn assert_escaped(text: &str) {
    assert!(!text.contains('>'), "{text}");
    for rest in text.split('&').skip(1) {
        let entity = rest.split_once(';').map(|(entity, _)| entity);
        let is_one =
            |entity: &str| entity.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#');
        assert!(entity.is_some_and(is_one), "&{rest}");
    }
}
