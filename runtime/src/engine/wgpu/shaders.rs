//! The shaders: which there are, and their text.
//!
//! WGSL cannot leave code out by a constant, has no loops that are sure to be unrolled, and cannot
//! index registers. The files under `shaders/` therefore have directives, each a line of its own:
//!
//! ```text
//! //# if NAME
//! //# else
//! //# repeat i COUNT
//! //# end
//! ```
//!
//! Within a repetition `$i` stands for its number, and `$NAME` everywhere for the value of a
//! constant.

use crate::network::Formats;
pub(super) use crate::network::{Format, Products};

const COMMON: &str = include_str!("shaders/common.wgsl");
const WEIGHTS: &str = include_str!("shaders/weights.wgsl");
const EMBED: &str = include_str!("shaders/embed.wgsl");
const LINEAR: &str = include_str!("shaders/linear.wgsl");
const TILED: &str = include_str!("shaders/tiled.wgsl");
const ROW: &str = include_str!("shaders/row.wgsl");
const DOTS: &str = include_str!("shaders/dots.wgsl");
const TILED_DOTS: &str = include_str!("shaders/tiled_dots.wgsl");
const ROW_DOTS: &str = include_str!("shaders/row_dots.wgsl");
const ATTENTION: &str = include_str!("shaders/attention.wgsl");
const NORM: &str = include_str!("shaders/norm.wgsl");
const POOL: &str = include_str!("shaders/pool.wgsl");

/// Invocations of a workgroup of attention.
const ATTENTION_THREADS: usize = 128;
/// Of the 16 KiB of workgroup memory that WebGPU promises, what attention may fill with keys and
/// values.
const KEY_BYTES: usize = 13 << 10;

/// How what shaders read may be stored. None multiplies by blocks.
pub(super) const FORMATS: Formats = Formats {
    matrices: &[Format::F32, Format::Int8],
    embedding: &Format::ALL,
};

impl Format {
    /// What some values take.
    pub(super) fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => 4 * values,
            Self::Int8 => values,
            Self::Blocks => values / 2,
        }
    }
}

/// What a linear layer does before and after it multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// Normalises its input, and writes.
    Normed,
    /// Adds to what is there.
    Add,
    /// Normalises its input, and writes `silu(gate) * up`.
    SwiGlu,
    /// Writes.
    Plain,
    /// Writes what an activation makes of it.
    Gelu,
    /// The same with the approximation of it.
    GeluTanh,
    /// Writes its tanh.
    Tanh,
}

impl Mode {
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [
        Self::Normed,
        Self::Add,
        Self::SwiGlu,
        Self::Plain,
        Self::Gelu,
        Self::GeluTanh,
        Self::Tanh,
    ];

    /// Whether it normalises its input.
    pub(super) fn normalises(self) -> bool {
        matches!(self, Self::Normed | Self::SwiGlu)
    }

    /// The groups of outputs that make one.
    pub(super) fn groups(self) -> usize {
        if self == Self::SwiGlu { 2 } else { 1 }
    }
}

/// How a linear layer divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tiling {
    /// A workgroup makes 64 outputs of one row.
    Row,
    /// A workgroup makes 128 outputs of 16 rows.
    Rows16,
    /// A workgroup makes 128 outputs of 64 rows.
    Rows64,
}

impl Tiling {
    pub(super) const ALL: [Self; 3] = [Self::Row, Self::Rows16, Self::Rows64];

    /// Rows and quads of outputs of a workgroup.
    pub(super) fn size(self, mode: Mode) -> (u32, u32) {
        let (rows, quads) = match self {
            Self::Row => (1, 16),
            Self::Rows16 => (16, 32),
            Self::Rows64 => (64, 32),
        };
        // Gate and up make one output.
        (rows, quads / mode.groups() as u32)
    }
}

/// Which tokens a token sees, and what tells attention where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sight {
    /// Itself and those before it, by rotary embedding: a decoder.
    Back,
    /// All; attention is not told: an encoder.
    All,
}

/// A shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shader {
    /// Gathers rows of the embedding.
    Embed(Format),
    /// The same, and adds those of the positions.
    EmbedPlaced(Format),
    /// Normalises rows to a mean of 0 and a variance of 1.
    Norm,
    /// The mean of a sequence's rows.
    Pool,
    /// A linear layer with all that is fused with it.
    Linear(Tiling, Format, Mode),
    /// As `Linear` with int8 weights, for [`Products::Int8`].
    LinearDots(Tiling, Mode),
    /// Attention of all tokens.
    Attention {
        /// Width of a head.
        head_size: usize,
        sight: Sight,
    },
    /// Attention of one token of a sequence, its last or its first, to all.
    LastAttention {
        /// Width of a head.
        head_size: usize,
        sight: Sight,
    },
}

impl Shader {
    /// The WGSL text.
    pub(super) fn source(self) -> String {
        let int8 = |format| format == Format::Int8;
        match self {
            Self::Embed(format) | Self::EmbedPlaced(format) => {
                let constants = Constants::default()
                    .flag("INT8", int8(format))
                    .flag("BLOCKS", format == Format::Blocks)
                    .flag("PLACED", matches!(self, Self::EmbedPlaced(_)))
                    .word(format);
                match format {
                    Format::Blocks => constants.expand(&[COMMON, EMBED]),
                    Format::F32 | Format::Int8 => constants.expand(&[COMMON, EMBED, WEIGHTS]),
                }
            }
            Self::Norm => Constants::default().expand(&[COMMON, NORM]),
            Self::Pool => Constants::default().expand(&[COMMON, POOL]),
            Self::Linear(tiling, format, mode) => {
                let constants = Constants::linear(tiling, mode)
                    .flag("INT8", int8(format))
                    .word(format);
                let main = match tiling {
                    Tiling::Row => ROW,
                    Tiling::Rows16 | Tiling::Rows64 => TILED,
                };
                constants.expand(&[COMMON, LINEAR, WEIGHTS, main])
            }
            Self::LinearDots(tiling, mode) => {
                let constants = Constants::linear(tiling, mode).word(Format::Int8);
                let main = match tiling {
                    Tiling::Row => ROW_DOTS,
                    Tiling::Rows16 | Tiling::Rows64 => TILED_DOTS,
                };
                constants.expand(&[COMMON, LINEAR, DOTS, main])
            }
            Self::Attention { head_size, sight } | Self::LastAttention { head_size, sight } => {
                let keys = keys_at_a_time(head_size);
                let constants = Constants::default()
                    .flag("LAST", matches!(self, Self::LastAttention { .. }))
                    .flag("BACK", sight == Sight::Back)
                    .number("WIDTH", head_size / 4)
                    .number("HALF", head_size / 8)
                    .number("KEYS", keys)
                    .number("ROOM", room(keys, head_size))
                    .number("SPLIT", self.split());
                constants.expand(&[COMMON, ATTENTION])
            }
        }
    }

    /// Invocations that share a query of a head.
    pub(super) fn split(self) -> usize {
        match self {
            Self::Attention { head_size, .. } => keys_at_a_time(head_size).min(4),
            // There are few queries: only the keys can keep a workgroup busy.
            Self::LastAttention { head_size, .. } => keys_at_a_time(head_size),
            _ => 1,
        }
    }

    /// Pairs of a query and a head that a workgroup of attention serves.
    pub(super) fn items(self) -> u32 {
        (ATTENTION_THREADS / self.split()) as u32
    }
}

/// Quads that hold so many keys and values, and what is merged after them: two times two quads of
/// every invocation.
fn room(keys: usize, head_size: usize) -> usize {
    (keys * (head_size / 2 + 1)).max(4 * ATTENTION_THREADS)
}

/// As many keys and values, a power of two of them, as fit beside what else a workgroup keeps.
fn keys_at_a_time(head_size: usize) -> usize {
    let bytes = |keys: usize| keys * (2 * head_size + 4) * 4;
    let sizes = [16, 8, 4, 2];
    sizes
        .into_iter()
        .find(|keys| bytes(*keys) <= KEY_BYTES)
        .unwrap_or(1)
}

/// What a shader's text is expanded with.
#[derive(Default)]
struct Constants {
    flags: Vec<&'static str>,
    numbers: Vec<(&'static str, usize)>,
    word: &'static str,
}

impl Constants {
    /// What linear layers of every format have in common.
    fn linear(tiling: Tiling, mode: Mode) -> Self {
        Self::default()
            .flag("NORM", mode.normalises())
            .flag("ADD", mode == Mode::Add)
            .flag("SWIGLU", mode == Mode::SwiGlu)
            .flag("GELU", mode == Mode::Gelu)
            .flag("GELU_TANH", mode == Mode::GeluTanh)
            .flag("TANH", mode == Mode::Tanh)
            .number("TM", tiling.size(mode).0 as usize / 16)
    }

    fn flag(mut self, name: &'static str, is_set: bool) -> Self {
        if is_set {
            self.flags.push(name);
        }
        self
    }

    fn number(mut self, name: &'static str, value: usize) -> Self {
        self.numbers.push((name, value));
        self
    }

    /// The type of an element of weights.
    fn word(mut self, format: Format) -> Self {
        self.word = match format {
            Format::F32 => "vec4<f32>",
            Format::Int8 | Format::Blocks => "u32",
        };
        self
    }

    fn expand(&self, parts: &[&str]) -> String {
        let mut text = String::new();
        for part in parts {
            let lines: Vec<&str> = part.lines().collect();
            self.expand_block(&lines, &mut text);
        }
        text = text.replace("$WORD", self.word);
        for (name, value) in &self.numbers {
            text = text.replace(&format!("${name}"), &value.to_string());
        }
        text
    }

    fn expand_block(&self, lines: &[&str], text: &mut String) {
        let mut rest = lines;
        while let Some((line, after)) = rest.split_first() {
            let Some(directive) = line.trim_start().strip_prefix("//# ") else {
                text.push_str(line);
                text.push('\n');
                rest = after;
                continue;
            };
            let (inside, otherwise, after) = block(after);
            match directive.split(' ').collect::<Vec<_>>()[..] {
                ["if", name] if self.flags.contains(&name) => self.expand_block(inside, text),
                ["if", _] => self.expand_block(otherwise, text),
                ["repeat", variable, count] => {
                    let count = self.numbers.iter().find(|(name, _)| *name == count);
                    let mut once = String::new();
                    self.expand_block(inside, &mut once);
                    for i in 0..count.map_or(0, |(_, count)| *count) {
                        text.push_str(&once.replace(&format!("${variable}"), &i.to_string()));
                    }
                }
                // A line that is left standing is a comment to WGSL; the test of all shaders
                // refuses it.
                _ => text.push_str(line),
            }
            rest = after;
        }
    }
}

/// What stands before `else`, between it and `end`, and after `end`.
fn block<'a, 'b>(lines: &'b [&'a str]) -> (&'b [&'a str], &'b [&'a str], &'b [&'a str]) {
    let mut depth = 0;
    let mut middle = None;
    for (index, line) in lines.iter().enumerate() {
        match line.trim_start().strip_prefix("//# ") {
            Some("else") if depth == 0 => middle = Some(index),
            Some("end") if depth == 0 => {
                let (inside, otherwise) = match middle {
                    Some(middle) => (&lines[..middle], &lines[middle + 1..index]),
                    None => (&lines[..index], &lines[..0]),
                };
                return (inside, otherwise, &lines[index + 1..]);
            }
            Some("end") => depth -= 1,
            Some("else") | None => {}
            Some(_) => depth += 1,
        }
    }
    (lines, &[], &[])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every shader that any network can ask for, but for head sizes, of which these are a sample.
    pub(in super::super) fn all() -> Vec<Shader> {
        let mut shaders = vec![Shader::Norm, Shader::Pool];
        for format in Format::ALL {
            shaders.extend([Shader::Embed(format), Shader::EmbedPlaced(format)]);
        }
        for tiling in Tiling::ALL {
            for mode in Mode::ALL {
                shaders.push(Shader::Linear(tiling, Format::F32, mode));
                shaders.push(Shader::Linear(tiling, Format::Int8, mode));
                shaders.push(Shader::LinearDots(tiling, mode));
            }
        }
        for head_size in [8, 16, 32, 64, 80, 96, crate::network::MAX_HEAD_SIZE] {
            for sight in [Sight::Back, Sight::All] {
                shaders.push(Shader::Attention { head_size, sight });
                shaders.push(Shader::LastAttention { head_size, sight });
            }
        }
        shaders
    }

    /// Needs no adapter, and so catches mistakes in shaders everywhere.
    #[test]
    fn every_shader_is_valid_and_within_the_limits_of_webgpu() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        let limits = wgpu::Limits::defaults();
        for shader in all() {
            let source = shader.source();
            let left = source
                .lines()
                .find(|line| line.contains("//#") || line.contains('$'));
            assert_eq!(left, None, "{shader:?}");
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|error| panic!("{shader:?}: {}", error.emit_to_string(&source)));
            // No capabilities: nothing beyond the core of WebGPU.
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{shader:?}: {}", error.emit_to_string(&source)));
            let size = module.entry_points[0].workgroup_size;
            assert!(size.iter().product::<u32>() <= limits.max_compute_invocations_per_workgroup);
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let shared = module
                .global_variables
                .iter()
                .filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, v)| layouter[v.ty].size).sum();
            assert!(
                bytes <= limits.max_compute_workgroup_storage_size,
                "{shader:?}: {bytes} bytes"
            );
        }
    }

    #[test]
    fn conditions_and_repetitions_nest() {
        let text = "a\n//# repeat i N\nb$i\n//# if ON\nc$i\n//# else\nd\n//# end\n//# end\n\
                    //# if OFF\ne\n//# end\nf$N";
        let constants = Constants::default().flag("ON", true).number("N", 2);
        assert_eq!(constants.expand(&[text]), "a\nb0\nc0\nb1\nc1\nf2\n");
    }
}
