//! The table of instruction sets, and what is compiled for each of them.
//!
//! [`isa`] says what a set has to offer. The steps of a forward pass are written once, in terms of
//! it, and compiled for every set by the macro below.

mod isa;
mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

pub(super) use self::isa::{Isa, LANES, Line, PANEL, TILE_ROWS, Tile};
use super::attention::{self, Attention};
use super::embedding::{self, Embedded};
use super::placing::{self, Placing};
use super::products::{self, Product};
use super::rounding::{self, Normalised, Rounded};

/// The environment variable that forces a kernel, by its name in the table.
pub(super) const VARIABLE: &str = "DUOGUARD_NATIVE_KERNEL";

/// A row of the table: an instruction set, and the steps of a forward pass compiled for it.
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) is_available: fn() -> bool,
    /// These may be called where `is_available` is true alone.
    multiply: unsafe fn(Product<'_>),
    normalise: unsafe fn(Normalised<'_>),
    round: unsafe fn(Rounded<'_>),
    attend: unsafe fn(Attention<'_>),
    embed: unsafe fn(Embedded<'_>),
    place: unsafe fn(Placing<'_>),
}

/// A row of the table, whose steps are compiled with some target features.
macro_rules! kernel {
    ($name:literal, $is_available:expr, $isa:expr, $(#[$features:meta])?) => {{
        /// # Safety
        /// The row's `is_available` is true.
        $(#[$features])?
        unsafe fn multiply(work: Product<'_>) {
            // SAFETY: as the caller promises.
            products::multiply(unsafe { $isa }, work)
        }
        /// # Safety
        /// As `multiply`.
        $(#[$features])?
        unsafe fn normalise(work: Normalised<'_>) {
            // SAFETY: as the caller promises.
            rounding::normalise(unsafe { $isa }, work)
        }
        /// # Safety
        /// As `multiply`.
        $(#[$features])?
        unsafe fn round(work: Rounded<'_>) {
            // SAFETY: as the caller promises.
            rounding::round(unsafe { $isa }, work)
        }
        /// # Safety
        /// As `multiply`.
        $(#[$features])?
        unsafe fn attend(work: Attention<'_>) {
            // SAFETY: as the caller promises.
            attention::attend(unsafe { $isa }, work)
        }
        /// # Safety
        /// As `multiply`.
        $(#[$features])?
        unsafe fn embed(work: Embedded<'_>) {
            // SAFETY: as the caller promises.
            embedding::embed(unsafe { $isa }, work)
        }
        /// # Safety
        /// As `multiply`.
        $(#[$features])?
        unsafe fn place(work: Placing<'_>) {
            // SAFETY: as the caller promises.
            placing::place(unsafe { $isa }, work)
        }
        Kernel {
            name: $name,
            is_available: $is_available,
            multiply,
            normalise,
            round,
            attend,
            embed,
            place,
        }
    }};
}

/// All kernels of this architecture, the fastest first; the last one runs everywhere.
pub(super) static KERNELS: &[Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    kernel!(
        "avx512-vnni",
        avx512::is_available,
        avx512::Avx512::new(),
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    ),
    #[cfg(target_arch = "x86_64")]
    kernel!(
        "avx-vnni",
        avx2::has_vnni,
        avx2::Avx2::<true>::new(),
        #[target_feature(enable = "avx2,avxvnni")]
    ),
    #[cfg(target_arch = "x86_64")]
    kernel!(
        "avx2",
        avx2::is_available,
        avx2::Avx2::<false>::new(),
        #[target_feature(enable = "avx2")]
    ),
    #[cfg(target_arch = "aarch64")]
    kernel!(
        "neon-dotprod",
        neon::has_dotprod,
        neon::Neon::<true>::new(),
        #[target_feature(enable = "neon,dotprod")]
    ),
    #[cfg(target_arch = "aarch64")]
    kernel!(
        "neon",
        neon::is_available,
        neon::Neon::<false>::new(),
        #[target_feature(enable = "neon")]
    ),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    kernel!("wasm-simd128", || true, wasm::Wasm::new(),),
    kernel!("scalar", || true, scalar::Scalar::new(),),
];

/// A kernel that this CPU can run.
#[derive(Clone, Copy)]
pub(super) struct Chosen(&'static Kernel);

impl Chosen {
    /// The kernel, if this CPU can run it.
    pub(super) fn of(kernel: &'static Kernel) -> Option<Self> {
        (kernel.is_available)().then_some(Self(kernel))
    }

    pub(super) fn name(self) -> &'static str {
        self.0.name
    }

    /// Multiplies rows by a matrix; see [`products::multiply`].
    pub(super) fn multiply(self, work: Product<'_>) {
        // SAFETY: `of` makes a value of what is available alone.
        unsafe { (self.0.multiply)(work) }
    }

    /// Normalises rows; see [`rounding::normalise`].
    pub(super) fn normalise(self, work: Normalised<'_>) {
        // SAFETY: as in `multiply`.
        unsafe { (self.0.normalise)(work) }
    }

    /// Rounds rows to int8; see [`rounding::round`].
    pub(super) fn round(self, work: Rounded<'_>) {
        // SAFETY: as in `multiply`.
        unsafe { (self.0.round)(work) }
    }

    /// Mixes values by attention; see [`attention::attend`].
    pub(super) fn attend(self, work: Attention<'_>) {
        // SAFETY: as in `multiply`.
        unsafe { (self.0.attend)(work) }
    }

    /// Writes a row of the embedding; see [`embedding::embed`].
    pub(super) fn embed(self, work: Embedded<'_>) {
        // SAFETY: as in `multiply`.
        unsafe { (self.0.embed)(work) }
    }

    /// Puts queries, keys and values into their places; see [`placing::place`].
    pub(super) fn place(self, work: Placing<'_>) {
        // SAFETY: as in `multiply`.
        unsafe { (self.0.place)(work) }
    }
}

/// The fastest kernel of this CPU, or the one that [`VARIABLE`] names; or what is wrong with it.
pub(super) fn choose() -> Result<Chosen, String> {
    match std::env::var(VARIABLE) {
        Ok(name) if !name.is_empty() => named(&name),
        _ => {
            let found = KERNELS.iter().find_map(Chosen::of);
            found.ok_or_else(|| "no kernel runs on this CPU".to_owned())
        }
    }
}

fn named(name: &str) -> Result<Chosen, String> {
    let Some(kernel) = KERNELS.iter().find(|kernel| kernel.name == name) else {
        let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        return Err(format!(
            "{VARIABLE} is {name:?}; expected one of {}",
            names.join(", ")
        ));
    };
    Chosen::of(kernel)
        .ok_or_else(|| format!("{VARIABLE} is {name:?}, which this CPU has not: unset it"))
}
