//! Curves as inline SVG: axes with units, readable ticks, and the numbers for whoever points at them.
//!
//! Owns the drawing. Takes numbers and fixed words only, so that nothing foreign gets into the markup.

use std::fmt::Write;

/// Width and height of the drawing, in its own units; the page scales it.
const SIZE: (f64, f64) = (560.0, 230.0);
/// Left, right, top and bottom space for the labels.
const MARGIN: (f64, f64, f64, f64) = (58.0, 14.0, 12.0, 30.0);
/// Buckets a long curve is cut into; each keeps its lowest and highest point, so that no spike is lost.
const BUCKETS: usize = 360;
/// Ticks aimed at, across and up.
const TICKS: (usize, usize) = (6, 5);

/// How a curve looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The main line.
    Line,
    /// A faint line behind the main one.
    Faint,
    /// A line with a dot at each point.
    Dots,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is, for the legend and the pointer.
    pub label: &'static str,
    /// Step and value; values that are no numbers are left out.
    pub points: Vec<(f64, f64)>,
    /// How it looks.
    pub look: Look,
}

/// Curves over the same steps.
pub struct Chart {
    /// The curves, the main one last.
    pub series: Vec<Series>,
    /// How a value is written, without unit.
    pub write_value: fn(f64) -> String,
    /// A dashed level, as a limit.
    pub level: Option<f64>,
    /// Whether the axis begins at zero.
    pub from_zero: bool,
}

struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let (left, right, _, _) = MARGIN;
        left + (value - self.x.0) / (self.x.1 - self.x.0) * (SIZE.0 - left - right)
    }

    fn y(&self, value: f64) -> f64 {
        let (_, _, top, bottom) = MARGIN;
        SIZE.1 - bottom - (value - self.y.0) / (self.y.1 - self.y.0) * (SIZE.1 - top - bottom)
    }
}

impl Chart {
    /// The drawing; none with fewer than two points, which make no curve.
    pub fn svg(&self) -> Option<String> {
        let series: Vec<Series> =
            self.series.iter().map(|series| Series { points: reduce(&series.points), ..series.clone() }).collect();
        if series.iter().all(|series| series.points.len() < 2) {
            return None;
        }
        let scale = self.scale(&series)?;
        let mut svg = format!(r#"<svg class="chart" viewBox="0 0 {} {}" role="img">"#, SIZE.0, SIZE.1);
        self.draw_axes(&mut svg, &scale);
        if let Some(level) = self.level.filter(|level| (scale.y.0..=scale.y.1).contains(level)) {
            let y = scale.y(level);
            let _ = write!(
                svg,
                r#"<line class="level" x1="{}" x2="{}" y1="{y:.1}" y2="{y:.1}"/>"#,
                MARGIN.0,
                SIZE.0 - MARGIN.1
            );
        }
        series.iter().for_each(|series| draw_series(&mut svg, series, &scale));
        let (top, bottom) = (MARGIN.2, SIZE.1 - MARGIN.3);
        let _ = write!(svg, r#"<line class="cursor" x1="0" x2="0" y1="{top}" y2="{bottom}"/></svg>"#);
        svg.push_str(&self.data(&series, &scale));
        Some(svg)
    }

    fn scale(&self, series: &[Series]) -> Option<Scale> {
        let points = || series.iter().flat_map(|series| &series.points);
        let x = bounds(points().map(|point| point.0))?;
        let (mut low, mut high) = bounds(points().map(|point| point.1))?;
        if self.from_zero {
            low = low.min(0.0);
        }
        let room = if high > low { (high - low) * 0.06 } else { high.abs().max(1e-9) * 0.1 };
        high += room;
        if !(self.from_zero && low == 0.0) {
            low -= room;
        }
        // Every curve of a training begins at step 0, so that those beside each other can be compared.
        Some(Scale { x: (0.0, x.1.max(1.0)), y: (low, high) })
    }

    fn draw_axes(&self, svg: &mut String, scale: &Scale) {
        let (left, right, _, bottom) = MARGIN;
        for value in ticks(scale.y, TICKS.1) {
            let y = scale.y(value);
            let label = (self.write_value)(value);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{left}" x2="{}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
                SIZE.0 - right,
                left - 8.0,
                y + 4.0
            );
        }
        for value in ticks(scale.x, TICKS.0) {
            let x = scale.x(value);
            let label = crate::figures::count(value.max(0.0).round() as u64);
            let y = SIZE.1 - bottom + 18.0;
            let _ = write!(svg, r#"<text class="tick" x="{x:.1}" y="{y}" text-anchor="middle">{label}</text>"#);
        }
        let _ = write!(
            svg,
            r#"<text class="tick" x="{}" y="{}" text-anchor="end">step</text>"#,
            left - 14.0,
            SIZE.1 - bottom + 18.0
        );
        let y = SIZE.1 - bottom;
        let _ = write!(svg, r#"<line class="axis" x1="{left}" x2="{}" y1="{y}" y2="{y}"/>"#, SIZE.0 - right);
    }

    /// What the pointer reads: for each curve its label, and steps, places and written values.
    fn data(&self, series: &[Series], scale: &Scale) -> String {
        let curves: Vec<serde_json::Value> = series
            .iter()
            .map(|series| {
                let points = series.points.iter().map(|&(x, y)| {
                    serde_json::json!([x, rounded(scale.x(x)), rounded(scale.y(y)), (self.write_value)(y)])
                });
                serde_json::json!({ "label": series.label, "points": points.collect::<Vec<_>>() })
            })
            .collect();
        format!(r#"<script type="application/json">{}</script>"#, serde_json::Value::from(curves))
    }
}

fn draw_series(svg: &mut String, series: &Series, scale: &Scale) {
    let class = match series.look {
        Look::Line => "line",
        Look::Dots => "line measured",
        Look::Faint => "line faint",
    };
    let mut path = String::new();
    for (index, &(x, y)) in series.points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", scale.x(x), scale.y(y));
    }
    let _ = write!(svg, r#"<path class="{class}" d="{path}"/>"#);
    if series.look == Look::Dots {
        for &(x, y) in &series.points {
            let _ = write!(svg, r#"<circle class="dot" cx="{:.1}" cy="{:.1}" r="3"/>"#, scale.x(x), scale.y(y));
        }
    }
}

/// An exponential moving average without bias at its start (the correction of Adam, Kingma and Ba 2015).
pub fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    // The longer the curve, the wider the window, so that the line stays a line.
    let keep = 1.0 - 1.0 / (points.len() as f64 / 40.0).clamp(1.0, 50.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|point| point.1.is_finite());
    finite
        .map(|&(x, y)| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            (x, sum / weight)
        })
        .collect()
}

fn reduce(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().copied().filter(|point| point.0.is_finite() && point.1.is_finite()).collect();
    if finite.len() <= 2 * BUCKETS {
        return finite;
    }
    let mut kept = Vec::with_capacity(2 * BUCKETS + 2);
    for bucket in finite.chunks(finite.len().div_ceil(BUCKETS)) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let low = *bucket.iter().min_by(by_value).expect("chunks are not empty");
        let high = *bucket.iter().max_by(by_value).expect("chunks are not empty");
        kept.push(if low.0 <= high.0 { low } else { high });
        if low.0 != high.0 {
            kept.push(if low.0 <= high.0 { high } else { low });
        }
    }
    let last = *finite.last().expect("longer than the buckets");
    if kept.last() != Some(&last) {
        kept.push(last);
    }
    kept
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |bounds: Option<(f64, f64)>, value| {
        Some(bounds.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}

/// Multiples of 1, 2 or 5 times a power of ten within the range (Heckbert, "Nice numbers for graph labels", 1990).
fn ticks((low, high): (f64, f64), about: usize) -> Vec<f64> {
    let rough = (high - low) / about as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|nice| nice * power).into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(ticks((0.0, 600.0), 6), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
        assert_eq!(ticks((1.9, 8.4), 5), [2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn a_long_curve_keeps_its_spike_and_its_end() {
        let mut points: Vec<(f64, f64)> = (0..50_000).map(|x| (f64::from(x), 1.0)).collect();
        points[31_234].1 = 99.0;
        let kept = reduce(&points);
        assert!(kept.len() <= 2 * BUCKETS + 1 && kept.contains(&(31_234.0, 99.0)));
        assert_eq!(kept.last(), Some(&(49_999.0, 1.0)));
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn what_is_no_number_does_not_spoil_the_drawing() {
        let points = vec![(1.0, 3.0), (2.0, f64::NAN), (3.0, 2.0)];
        let series = vec![Series { label: "loss", points, look: Look::Line }];
        let chart = Chart { series, write_value: |value| format!("{value:.1}"), level: None, from_zero: false };
        let svg = chart.svg().unwrap();
        assert!(!svg.contains("NaN") && svg.contains("<path"));
    }

    #[test]
    fn the_average_of_a_constant_is_that_constant() {
        let points: Vec<(f64, f64)> = (0..500).map(|x| (f64::from(x), 4.0)).collect();
        assert!(smooth(&points).iter().all(|point| (point.1 - 4.0).abs() < 1e-9));
    }
}
