//! Figures, drawn by plotters as SVG. Their colours are those of `style.css`, which has others for
//! dark screens.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Table;
use crate::error::{EvalError, Result};

const WIDTH: u32 = 980;
const HEIGHT: u32 = 380;
/// Room for the names of the series, beside the plot.
const LEGEND: i32 = 215;
const FONT: (&str, u32) = ("sans-serif", 17);
/// Of the names of more groups, only every second, third ... is written.
const NAMED_GROUPS: usize = 12;
/// One colour a series, in their order; a seventh series has the first colour again.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xC0, 0x4F, 0x00),
    RGBColor(0x00, 0x80, 0x5C),
    RGBColor(0xA8, 0x47, 0x7F),
    RGBColor(0x6B, 0x6E, 0xCF),
    RGBColor(0x8A, 0x6D, 0x00),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> =
    std::result::Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// An axis: its title with the unit, and its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    title: String,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis from one value to a larger one.
    pub fn new(title: impl Into<String>, from: f64, to: f64) -> Self {
        let title = title.into();
        Self { title, from, to }
    }

    /// An axis that holds 0 and all the values, with a little room.
    pub fn around(title: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut from, mut to) = (0.0_f64, 0.0_f64);
        for value in values {
            (from, to) = (from.min(value), to.max(value));
        }
        let room = 0.08 * (to - from).max(1e-9);
        let pad = |end: f64| if end == 0.0 { 0.0 } else { room };
        Self::new(
            title,
            from - pad(from),
            if to == from { from + 1.0 } else { to + pad(to) },
        )
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

/// Named values, drawn alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<T> {
    name: String,
    values: Vec<T>,
}

impl<T> Series<T> {
    /// A name and its values.
    pub fn new(name: impl Into<String>, values: Vec<T>) -> Self {
        let name = name.into();
        Self { name, values }
    }
}

/// A drawn figure, with its numbers.
#[derive(Clone, Debug)]
pub struct Figure {
    title: String,
    caption: String,
    svg: String,
    table: Table,
    kind: &'static str,
}

impl Figure {
    /// Groups of bars: a value for each group in every series; no bar where a value is undefined.
    pub fn bars(
        title: &str,
        caption: &str,
        groups: &[&str],
        series: &[Series<Option<f64>>],
        axis: &Axis,
    ) -> Result<Self> {
        let mut table =
            Table::new(std::iter::once("").chain(series.iter().map(|s| s.name.as_str())));
        for (index, group) in groups.iter().enumerate() {
            let cells = series
                .iter()
                .map(|s| number(s.values.get(index).copied().flatten()));
            let row = std::iter::once((*group).to_owned()).chain(cells);
            table.rows.push(row.collect());
        }
        let svg = draw(title, |area| draw_bars(area, groups, series, axis))?;
        Ok(Self {
            title: title.into(),
            caption: caption.into(),
            svg,
            table,
            kind: "Bar chart",
        })
    }

    /// A line for every series, through points of (x, y). `diagonal` adds the line x = y, to
    /// compare with.
    pub fn lines(
        title: &str,
        caption: &str,
        series: &[Series<(f64, f64)>],
        axes: (&Axis, &Axis),
        diagonal: bool,
    ) -> Result<Self> {
        let svg = draw(title, |area| {
            draw_points(area, series, axes, true, diagonal)
        })?;
        let table = points_table(series, axes);
        Ok(Self {
            title: title.into(),
            caption: caption.into(),
            svg,
            table,
            kind: "Line chart",
        })
    }

    /// A mark for every point (x, y) of every series.
    pub fn marks(
        title: &str,
        caption: &str,
        series: &[Series<(f64, f64)>],
        axes: (&Axis, &Axis),
    ) -> Result<Self> {
        let svg = draw(title, |area| draw_points(area, series, axes, false, false))?;
        let table = points_table(series, axes);
        Ok(Self {
            title: title.into(),
            caption: caption.into(),
            svg,
            table,
            kind: "Scatter plot",
        })
    }

    /// The figure's title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the figure shows, and how to read it.
    pub fn caption(&self) -> &str {
        &self.caption
    }

    /// What stands for the figure where it is not seen.
    pub fn description(&self) -> String {
        let rows = self.table.rows.len();
        format!(
            "{}: {}. {} Its {rows} rows of numbers follow as a table.",
            self.kind, self.title, self.caption
        )
    }

    /// The drawing.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The numbers; of a curve with many points, some of them.
    pub fn table(&self) -> &Table {
        &self.table
    }
}

fn draw(title: &str, plot: impl FnOnce(&Area<'_>) -> Drawn<'static>) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
    let drawn = plot(&area).and_then(|()| area.present());
    drop(area);
    drawn.map_err(|cause| EvalError::Figure {
        figure: title.to_owned(),
        cause: cause.to_string(),
    })?;
    Ok(svg)
}

fn draw_bars(
    area: &Area<'_>,
    groups: &[&str],
    series: &[Series<Option<f64>>],
    axis: &Axis,
) -> Drawn<'static> {
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(LEGEND)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..groups.len().max(1) as f64, axis.range())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_desc(&axis.title)
        .y_label_formatter(&tick)
        .label_style(FONT)
        .max_light_lines(1)
        .draw()?;
    let style = FONT.into_font().color(&BLACK);
    let style = style.pos(Pos::new(HPos::Center, VPos::Top));
    let step = groups.len().div_ceil(NAMED_GROUPS).max(1);
    for (group, name) in groups.iter().enumerate().step_by(step) {
        let (x, y) = chart.backend_coord(&(group as f64 + 0.5, axis.from));
        area.draw(&Text::new(*name, (x, y + 10), style.clone()))?;
    }
    let width = 0.8 / series.len().max(1) as f64;
    for (index, one) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let left = 0.1 + index as f64 * width;
        let bars = one.values.iter().enumerate().filter_map(|(group, value)| {
            let from = group as f64 + left;
            let corners = [
                (from, 0.0_f64.clamp(axis.from, axis.to)),
                (from + 0.92 * width, (*value)?),
            ];
            Some(Rectangle::new(corners, colour.filled()))
        });
        chart.draw_series(bars)?;
    }
    legend(area, series.iter().map(|s| s.name.as_str()))
}

fn draw_points(
    area: &Area<'_>,
    series: &[Series<(f64, f64)>],
    (across, up): (&Axis, &Axis),
    joined: bool,
    diagonal: bool,
) -> Drawn<'static> {
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(LEGEND)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(across.range(), up.range())?;
    chart
        .configure_mesh()
        .x_desc(&across.title)
        .y_desc(&up.title)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .label_style(FONT)
        .max_light_lines(1)
        .draw()?;
    if diagonal {
        let (from, to) = (across.from.max(up.from), across.to.min(up.to));
        chart.draw_series(LineSeries::new([(from, from), (to, to)], BLACK.mix(0.4)))?;
    }
    for (index, one) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        if joined {
            chart.draw_series(LineSeries::new(
                one.values.iter().copied(),
                colour.stroke_width(2),
            ))?;
        } else {
            chart.draw_series(
                one.values
                    .iter()
                    .map(|at| Circle::new(*at, 6, colour.filled())),
            )?;
        }
    }
    legend(area, series.iter().map(|s| s.name.as_str()))
}

/// The names of the series, beside the plot.
fn legend<'n>(area: &Area<'_>, names: impl Iterator<Item = &'n str>) -> Drawn<'static> {
    for (index, name) in names.enumerate() {
        let (x, y) = (WIDTH as i32 - LEGEND + 14, 24 + 24 * index as i32);
        let colour = COLOURS[index % COLOURS.len()];
        area.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], colour.filled()))?;
        area.draw(&Text::new(name.to_owned(), (x + 22, y), FONT.into_font()))?;
    }
    Ok(())
}

/// At most about this many points of a curve are written out.
const WRITTEN_POINTS: usize = 20;

fn points_table(series: &[Series<(f64, f64)>], (across, up): (&Axis, &Axis)) -> Table {
    let mut table = Table::new(["", across.title.as_str(), up.title.as_str()]);
    for one in series {
        let step = one.values.len().div_ceil(WRITTEN_POINTS).max(1);
        for (x, y) in one.values.iter().step_by(step) {
            table
                .rows
                .push(vec![one.name.clone(), number(Some(*x)), number(Some(*y))]);
        }
    }
    table
}

/// A number beside an axis, without needless zeros.
fn tick(value: &f64) -> String {
    // Adding 0 makes the negative zero positive.
    let rounded = (value * 1e3).round() / 1e3 + 0.0;
    format!("{rounded}")
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |v| {
            if v == v.round() {
                format!("{v:.0}")
            } else {
                format!("{v:.3}")
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_have_no_needless_zeros() {
        let values = [0.0, -0.000_01, 0.1 + 0.2, 100.0, -7.5];
        assert_eq!(
            values.map(|value| tick(&value)),
            ["0", "0", "0.3", "100", "-7.5"]
        );
    }

    #[test]
    fn of_many_groups_some_are_named() {
        let names: Vec<String> = (0..20).map(|number| format!("bin {number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let series = [Series::new("rows", vec![Some(1.0); 20])];
        let axis = Axis::new("rows", 0.0, 1.0);
        let figure = Figure::bars("T", "c", &names, &series, &axis).unwrap();
        assert_eq!(figure.svg().matches("bin ").count(), 10);
        assert_eq!(figure.table().rows.len(), 20);
    }
}
