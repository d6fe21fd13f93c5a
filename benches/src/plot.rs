//! Plots as SVG: lines over an axis of powers of two or ten.

use std::fmt::Write as _;

/// A plot with one line for each subject.
pub struct Chart {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    /// Whether the upward axis is logarithmic, too; else it begins at 0.
    pub logarithmic: bool,
    pub lines: Vec<Line>,
}

/// A line.
pub struct Line {
    pub name: &'static str,
    pub colour: &'static str,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
/// Left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 36.0, 16.0, 44.0);

/// These charts, two in a row.
pub fn svg(charts: &[Chart]) -> String {
    let columns = charts.len().clamp(1, 2);
    let (width, height) = (WIDTH * columns as f64, HEIGHT * charts.len().div_ceil(columns) as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, chart) in charts.iter().enumerate() {
        let (x, y) = ((number % columns) as f64 * WIDTH, (number / columns) as f64 * HEIGHT);
        let _ = writeln!(out, "<g transform=\"translate({x} {y})\">");
        chart.draw(&mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

impl Chart {
    fn draw(&self, out: &mut String) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let Some((left, right)) = bounds(points().map(|point| point.0)) else { return };
        let Some((low, high)) = bounds(points().map(|point| point.1)) else { return };
        let (low, high) = match self.logarithmic {
            true => (10f64.powf(low.log10().floor()), 10f64.powf(high.log10().ceil())),
            false => (0.0, nice(high)),
        };
        let (from_x, from_y) = (MARGIN.0, HEIGHT - MARGIN.3);
        let (to_x, to_y) = (WIDTH - MARGIN.2, MARGIN.1);
        let along =
            |value: f64, low: f64, high: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
        let x = |value: f64| from_x + along(value.ln(), left.ln(), right.ln()) * (to_x - from_x);
        let y = |value: f64| {
            let part = match self.logarithmic {
                true => along(value.ln(), low.ln(), high.ln()),
                false => along(value, low, high),
            };
            from_y + part * (to_y - from_y)
        };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"16\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>",
            WIDTH / 2.0,
            escape(&self.title)
        );
        let ticks: Vec<f64> = match self.logarithmic {
            true => {
                let decades = (high / low).log10().round() as i32;
                (0..=decades).map(|power| low * 10f64.powi(power)).collect()
            }
            false => (0..=4).map(|quarter| high * f64::from(quarter) / 4.0).collect(),
        };
        for tick in ticks {
            let at = y(tick);
            let _ = writeln!(
                out,
                "<path d=\"M{from_x} {at:.1}H{to_x}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                from_x - 6.0,
                at + 4.0,
                short(tick)
            );
        }
        let mut marks: Vec<f64> = points().map(|point| point.0).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        for mark in marks {
            let at = x(mark);
            let _ = writeln!(
                out,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                from_y + 15.0,
                short(mark)
            );
        }
        let _ = writeln!(
            out,
            "<path d=\"M{from_x} {to_y}V{from_y}H{to_x}\" fill=\"none\" stroke=\"black\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text x=\"6\" y=\"{}\">{}</text>",
            (from_x + to_x) / 2.0,
            HEIGHT - 10.0,
            escape(self.x),
            to_y - 8.0,
            escape(self.y)
        );
        for (number, line) in self.lines.iter().enumerate() {
            let path: Vec<String> =
                line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
                path.join(" "),
                line.colour
            );
            for (at, value) in &line.points {
                let (x, y) = (x(*at), y(*value));
                let _ =
                    writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{}\"/>", line.colour);
            }
            let (at, down) = (from_x + 10.0, to_y + 12.0 + 14.0 * number as f64);
            let _ = writeln!(
                out,
                "<text x=\"{at}\" y=\"{down}\" fill=\"{}\">{}</text>",
                line.colour,
                escape(line.name)
            );
        }
    }
}

/// The smallest and the largest.
fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| *value > 0.0).fold(None, |bounds, value| match bounds {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// The next number that a quarter of is easy to read.
fn nice(value: f64) -> f64 {
    let unit = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0];
    steps.iter().map(|step| step * unit).find(|nice| *nice >= value).unwrap_or(10.0 * unit)
}

fn short(value: f64) -> String {
    match value {
        ..0.001 => "0".into(),
        ..1.0 => format!("{value:.2}"),
        ..10_000.0 => format!("{}", (value * 10.0).round() / 10.0),
        ..1e6 => format!("{}k", value / 1e3),
        _ => format!("{}M", value / 1e6),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(logarithmic: bool) -> Chart {
        let points = vec![(1.0, 100.0), (2.0, 200.0), (4.0, 400.0)];
        let lines = vec![Line { name: "a & b", colour: "red", points }];
        Chart { title: "t".into(), x: "threads", y: "MiB/s", logarithmic, lines }
    }

    #[test]
    fn points_are_where_they_belong() {
        // Powers of two are as far apart, and 400 is the top of the axis.
        let svg = svg(&[chart(false)]);
        assert!(svg.contains("points=\"64.0,186.0 234.0,136.0 404.0,36.0\""), "{svg}");
        assert!(svg.contains("a &amp; b"));
    }

    #[test]
    fn a_logarithmic_axis_has_whole_decades() {
        let svg = svg(&[chart(true)]);
        assert!(svg.contains("points=\"64.0,236.0 "), "100 is the bottom: {svg}");
        assert!(svg.contains(">1000</text>"), "{svg}");
    }

    #[test]
    fn a_chart_without_points_is_empty() {
        let empty = Chart { lines: Vec::new(), ..chart(false) };
        assert!(!svg(&[empty]).contains("polyline"));
    }
}
