//! Grouped bars with intervals, as SVG that reads on light and on dark ground.

use std::fmt::Write as _;

/// One picture.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the lengths are, with the unit.
    pub(crate) axis: String,
    /// Machine, date, versions: one line below.
    pub(crate) foot: String,
    pub(crate) groups: Vec<Group>,
}

/// Bars that are compared with each other.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) label: String,
    pub(crate) bars: Vec<Bar>,
}

/// One number.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// 95 % interval.
    pub(crate) interval: Option<(f64, f64)>,
    /// Ours stand out.
    pub(crate) ours: bool,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 56.0;
const BAR: f64 = 16.0;
const GAP: f64 = 5.0;
const GROUP_HEAD: f64 = 24.0;
const BOTTOM: f64 = 62.0;
/// The ground is drawn, because a page's own is not known.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-size:15px;font-weight:600}.g{font-weight:600}.s{fill:#57606a}\
                     .b{fill:#fff}.l{stroke:#d0d7de}.p{fill:#8c959f}.o{fill:#0969da}.i{stroke:#24292f;stroke-width:1.2}\
                     @media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.b{fill:#0d1117}.l{stroke:#30363d}\
                     .p{fill:#6e7681}.o{fill:#4493f8}.i{stroke:#e6edf3}}";

/// Draws it.
pub(crate) fn svg(chart: &Chart) -> String {
    let rows: f64 =
        chart.groups.iter().map(|group| GROUP_HEAD + group.bars.iter().map(|_| BAR + GAP).sum::<f64>()).sum();
    let height = TOP + rows + BOTTOM;
    let bars = || chart.groups.iter().flat_map(|group| &group.bars);
    // An interval wider than the bars would hide them; it may run out of the picture instead.
    let longest = bars().map(|bar| bar.value).fold(0.0, f64::max);
    let reach = bars()
        .filter_map(|bar| Some(bar.interval?.1))
        .filter(|high| *high <= longest * 1.5)
        .fold(longest, f64::max);
    let scale = Scale { step: step(reach), reach };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{title}\"><style>{STYLE}</style><rect class=\"b\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"t\" x=\"16\" y=\"28\">{title}</text>\n",
        title = escaped(&chart.title)
    );
    grid(&mut out, &scale, TOP, TOP + rows);
    let mut y = TOP;
    for group in &chart.groups {
        y += GROUP_HEAD;
        put(&mut out, &text("g", 16.0, y - 7.0, "start", &group.label));
        for bar in &group.bars {
            draw(&mut out, &scale, bar, y);
            y += BAR + GAP;
        }
    }
    put(&mut out, &text("", (LEFT + WIDTH - RIGHT) / 2.0, y + 34.0, "middle", &chart.axis));
    put(&mut out, &text("s", 16.0, y + 54.0, "start", &chart.foot));
    out.push_str("</svg>\n");
    out
}

/// From numbers to places.
struct Scale {
    step: f64,
    reach: f64,
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let full = (self.reach / self.step).ceil().max(1.0) * self.step;
        LEFT + (WIDTH - LEFT - RIGHT) * (value / full).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, about five to the whole.
fn step(reach: f64) -> f64 {
    let rough = (reach / 5.0).max(1e-6);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(power)
}

fn grid(out: &mut String, scale: &Scale, top: f64, bottom: f64) {
    let mut value = 0.0;
    while value <= scale.reach + scale.step {
        let x = scale.x(value);
        put(
            out,
            &format!("<line class=\"l\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"),
        );
        put(out, &text("s", x, bottom + 16.0, "middle", &short(value)));
        if x >= WIDTH - RIGHT {
            break;
        }
        value += scale.step;
    }
}

fn draw(out: &mut String, scale: &Scale, bar: &Bar, y: f64) {
    let (zero, end) = (scale.x(0.0), scale.x(bar.value));
    let class = if bar.ours { "o" } else { "p" };
    put(out, &text("", LEFT - 8.0, y + BAR - 4.0, "end", &bar.label));
    put(
        out,
        &format!(
            "<rect class=\"{class}\" x=\"{zero:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            end - zero
        ),
    );
    let mut right = end;
    if let Some((low, high)) = bar.interval {
        let (low, high, middle) = (scale.x(low), scale.x(high), y + BAR / 2.0);
        right = right.max(high);
        put(
            out,
            &format!(
                "<line class=\"i\" x1=\"{low:.1}\" y1=\"{middle:.1}\" x2=\"{high:.1}\" y2=\"{middle:.1}\"/>"
            ),
        );
        for x in [low, high] {
            let (top, bottom) = (middle - 4.0, middle + 4.0);
            put(
                out,
                &format!(
                    "<line class=\"i\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"
                ),
            );
        }
    }
    put(out, &text("", right + 6.0, y + BAR - 4.0, "start", &short(bar.value)));
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

fn text(class: &str, x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    )
}

fn put(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    if writeln!(out, "{line}").is_err() {
        out.clear();
    }
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
