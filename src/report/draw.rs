//! Curves, bands and marks as SVG, all over the same axis of time.
//!
//! Each picture is drawn twice, for a wide page and for a narrow one, since letters shrink with a picture. Words are
//! but labels here, and escaped by the library. Does not know what a curve is about.

use super::ink::{GRID, Ink, TEXT};
use super::thin::{Mark, Sample};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{
    Circle, Cross, EmptyElement, PathElement, Rectangle, Text, TriangleMarker,
};
use plotters::prelude::{Cartesian2d, DrawingArea, IntoDrawingArea, LineSeries, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, TextStyle};

/// A page's width, and what fits on it.
#[derive(Clone, Copy, Debug)]
struct Size {
    class: &'static str,
    width: u32,
    text: u32,
    /// Room for figures at the left.
    gutter: u32,
    ticks: usize,
    /// Letters of a label.
    letters: usize,
}

const SIZES: [Size; 2] = [
    Size { class: "wide", width: 900, text: 13, gutter: 46, ticks: 12, letters: 100 },
    Size { class: "narrow", width: 360, text: 12, gutter: 36, ticks: 6, letters: 44 },
];
/// Room at the right, for half a figure of the axis below.
const MARGIN: u32 = 18;
const CURVES: u32 = 230;
const BAR: u32 = 15;

/// The pictures' axis of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    seconds: f64,
    unit_s: f64,
    /// What it counts.
    pub(super) unit: &'static str,
}

impl Time {
    /// From 0 to this.
    pub(super) fn of(seconds: f64) -> Time {
        let (unit_s, unit) = match seconds {
            ..=180.0 => (1.0, "seconds"),
            ..=10_800.0 => (60.0, "minutes"),
            _ => (3600.0, "hours"),
        };
        Time { seconds, unit_s, unit }
    }

    fn at(&self, seconds: f64) -> f64 {
        seconds / self.unit_s
    }
}

/// A curve and its ink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) samples: &'a [Sample],
    pub(super) ink: Ink,
    pub(super) width: u32,
}

/// A row of a picture that has rows.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) label: String,
    pub(super) content: Content<'a>,
}

/// What is in a row.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// Times from and to, what matters most last.
    Bars(Vec<(f64, f64, Ink)>),
    /// Marks of this shape.
    Marks(&'a [Mark], Shape, Ink),
}

/// The shape of a mark.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Cross,
    Triangle,
    Dot,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const DRAWN: &str = "a String takes all that is drawn";

/// Curves with figures in `unit`s, and lines across them at some moments.
pub(super) fn curves(
    title: &str,
    time: Time,
    unit: f64,
    lines: &[Line<'_>],
    moments: &[(&[Mark], Ink)],
) -> String {
    let values = lines.iter().flat_map(|line| line.samples.iter().map(|sample| sample.value));
    let most = values.fold(0.0, f64::max) / unit;
    let top = if most > 0.0 { most * 1.06 } else { 1.0 };
    both(
        title,
        |_| CURVES,
        |area, size| {
            let mut chart = chart(area, size, time, top, true);
            for (marks, ink) in moments {
                for mark in *marks {
                    let x = time.at(mark.at);
                    let across =
                        PathElement::new([(x, 0.0), (x, top)], ink.colour().stroke_width(1));
                    chart.draw_series([across]).expect(DRAWN);
                }
            }
            for line in lines {
                let steps = line.samples.iter().flat_map(|sample| {
                    let value = sample.value / unit;
                    [(time.at(sample.from), value), (time.at(sample.to), value)]
                });
                let style = line.ink.colour().stroke_width(line.width);
                chart.draw_series(LineSeries::new(steps, style)).expect(DRAWN);
            }
        },
    )
}

/// Rows under one another.
pub(super) fn rows(title: &str, time: Time, rows: &[Row<'_>]) -> String {
    let pitch = |size: Size| size.text + BAR + 16;
    let height = |size| rows.len() as u32 * pitch(size);
    let all = |size| height(size) + axis(size) + 8;
    both(title, all, |area, size| {
        let mut chart = chart(area, size, time, f64::from(height(size)), false);
        for (number, row) in rows.iter().enumerate() {
            // From above, where the axis goes from below.
            let top = f64::from(height(size) - number as u32 * pitch(size));
            draw_row(&mut chart, size, time, top, row);
        }
    })
}

fn draw_row(chart: &mut Chart<'_>, size: Size, time: Time, top: f64, row: &Row<'_>) {
    let label = Text::new(shortened(&row.label, size.letters), (0.0, top - 2.0), text(size));
    chart.draw_series([label]).expect(DRAWN);
    let bar_top = top - f64::from(size.text) - 8.0;
    let bottom = bar_top - f64::from(BAR);
    let middle = (bar_top + bottom) / 2.0;
    let pixels = chart.plotting_area().get_pixel_range().0.len() as f64;
    let pixel = time.at(time.seconds) / pixels;
    match &row.content {
        Content::Bars(bars) => {
            for (from, to, ink) in bars {
                // What is short must be seen, too.
                let (from, to) = (time.at(*from), time.at(*to));
                let to = to.max(from + 2.0 * pixel).min(time.at(time.seconds));
                let from = from.min(to - 2.0 * pixel).max(0.0);
                let bar = Rectangle::new([(from, bar_top), (to, bottom)], ink.colour().filled());
                chart.draw_series([bar]).expect(DRAWN);
            }
        }
        Content::Marks(marks, shape, ink) => {
            let base = [(0.0, middle), (time.at(time.seconds), middle)];
            chart.draw_series([PathElement::new(base, GRID.colour())]).expect(DRAWN);
            for (number, mark) in marks.iter().enumerate() {
                let place = (time.at(mark.at), middle);
                draw_mark(chart, place, *shape, *ink);
                let (before, next) = (number.checked_sub(1), number + 1);
                let before = before.and_then(|before| marks.get(before));
                let left = place.0 - before.map_or(0.0, |before| time.at(before.at));
                let right = marks.get(next).map_or(time.at(time.seconds), |next| time.at(next.at));
                let room = (left / pixel, (right - place.0) / pixel);
                if mark.count > 1 {
                    draw_count(chart, size, place, room, mark.count);
                }
            }
        }
    }
}

/// How many a mark stands for, beside it, if there is room, of so many pixels at the left and at the right.
fn draw_count(chart: &mut Chart<'_>, size: Size, place: (f64, f64), room: (f64, f64), count: u64) {
    let letters = count.to_string();
    let least = 24.0 + f64::from(size.text) * 0.6 * letters.len() as f64;
    let (side, anchor) = match room {
        (_, right) if right > least => (9, HPos::Left),
        (left, _) if left > least => (-9, HPos::Right),
        _ => return,
    };
    let style = text(size).pos(Pos::new(anchor, VPos::Center));
    let text = EmptyElement::at(place) + Text::new(letters, (side, 0), style);
    chart.draw_series([text]).expect(DRAWN);
}

fn draw_mark(chart: &mut Chart<'_>, place: (f64, f64), shape: Shape, ink: Ink) {
    let (full, line) = (ink.colour().filled(), ink.colour().stroke_width(2));
    match shape {
        Shape::Cross => chart.draw_series([Cross::new(place, 5, line)]).map(drop),
        Shape::Triangle => chart.draw_series([TriangleMarker::new(place, 6, full)]).map(drop),
        Shape::Dot => chart.draw_series([Circle::new(place, 4, full)]).map(drop),
    }
    .expect(DRAWN);
}

/// A picture for each size of page.
fn both(title: &str, height: impl Fn(Size) -> u32, draw: impl Fn(&Area<'_>, Size)) -> String {
    let picture = |size: Size| {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (size.width, height(size)));
            let area = area.into_drawing_area();
            draw(&area, size);
            area.present().expect(DRAWN);
        }
        let head = format!("<svg class=\"{}\" role=\"img\" aria-label=\"{title}\" ", size.class);
        svg.replacen("<svg ", &head, 1)
    };
    SIZES.map(picture).concat()
}

/// The axes.
fn chart<'a>(area: &Area<'a>, size: Size, time: Time, top: f64, has_figures: bool) -> Chart<'a> {
    let mut chart = ChartBuilder::on(area)
        .margin_right(MARGIN)
        .margin_top(8)
        .x_label_area_size(axis(size))
        .y_label_area_size(size.gutter)
        .build_cartesian_2d(0.0..time.at(time.seconds), 0.0..top)
        .expect(DRAWN);
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID.colour())
        .max_light_lines(0)
        .axis_style(TEXT.colour())
        .label_style(text(size))
        .x_labels(size.ticks)
        .y_labels(5)
        .x_label_formatter(&|value| figure(*value))
        .y_label_formatter(&|value| figure(*value));
    if !has_figures {
        mesh.disable_y_mesh().disable_y_axis();
    }
    mesh.draw().expect(DRAWN);
    chart
}

fn axis(size: Size) -> u32 {
    size.text + 14
}

fn text(size: Size) -> TextStyle<'static> {
    // The library makes letters smaller by this, whatever for.
    let height = f64::from(size.text) * 1.24;
    ("sans-serif", height).into_font().color(&TEXT.colour())
}

/// A figure at an axis, without the noise of its last digits.
fn figure(value: f64) -> String {
    format!("{}", (value * 1000.0).round() / 1000.0)
}

fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.into();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}
