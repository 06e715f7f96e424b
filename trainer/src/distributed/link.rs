//! The processes' connection: MPI, and NCCL between GPUs.

use std::cell::OnceCell;
use std::fmt;
use std::mem::ManuallyDrop;

use mpi::collective::{CommunicatorCollectives, Root, SystemOperation};
use mpi::datatype::PartitionMut;
use mpi::environment::{Threading, Universe};
use mpi::topology::{Communicator, SimpleCommunicator};
use tch::{Device, Kind, Tensor};

use super::nccl::Nccl;
use crate::error::TrainError;

/// Floats that are added up at once: 16 MiB, which a process's copy of fits its cache.
const BUCKET: usize = 1 << 22;

/// MPI's world.
pub(super) struct Link {
    world: SimpleCommunicator,
    /// Made when the first tensor of a GPU is added up.
    nccl: OnceCell<Nccl>,
    /// Its drop would wait for the others, which a process that fails must not do.
    _universe: ManuallyDrop<Universe>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} of {})", self.rank(), self.size())
    }
}

impl Link {
    /// Starts MPI.
    pub(super) fn open() -> Result<Self, TrainError> {
        let started = mpi::initialize_with_threading(Threading::Funneled);
        let (universe, _) = started.ok_or_else(|| {
            TrainError::Distributed("MPI was started before, or does not start".to_owned())
        })?;
        Ok(Self {
            world: universe.world(),
            nccl: OnceCell::new(),
            _universe: ManuallyDrop::new(universe),
        })
    }

    pub(super) fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    pub(super) fn size(&self) -> usize {
        self.world.size() as usize
    }

    pub(super) fn abort(&self, status: u8) -> ! {
        self.world.abort(status.into())
    }

    /// Ends MPI.
    pub(super) fn close(&self) {
        self.world.barrier();
        // SAFETY: `open` started MPI, the universe is never dropped, and the caller gives the group
        // away, so that nothing is sent any more.
        unsafe { mpi::ffi::MPI_Finalize() };
    }

    pub(super) fn barrier(&self) {
        self.world.barrier();
    }

    pub(super) fn first_says(&self, answer: bool) -> bool {
        let mut byte = u8::from(answer);
        self.world.process_at_rank(0).broadcast_into(&mut byte);
        byte != 0
    }

    pub(super) fn sum(&self, numbers: &mut [f32]) {
        let mut own = Vec::new();
        for bucket in numbers.chunks_mut(BUCKET) {
            own.clear();
            own.extend_from_slice(bucket);
            let sum = SystemOperation::sum();
            self.world.all_reduce_into(&own[..], bucket, sum);
        }
    }

    pub(super) fn max(&self, flags: &mut [u8]) {
        let own = flags.to_vec();
        let max = SystemOperation::max();
        self.world.all_reduce_into(&own[..], flags, max);
    }

    pub(super) fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        // A count of MPI is an `i32`: what one chunk of texts or ratings is far from.
        let mut counts = vec![0i32; self.size()];
        let own = bytes.len() as i32;
        self.world.all_gather_into(&own, &mut counts[..]);
        let starts: Vec<i32> = counts
            .iter()
            .scan(0, |end, &count| {
                *end += count;
                Some(*end - count)
            })
            .collect();
        let total: i32 = counts.iter().sum();
        let mut all = vec![0u8; total as usize];
        let mut parts = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
        self.world.all_gather_varcount_into(bytes, &mut parts);
        let cut = |(&start, &count): (&i32, &i32)| all[start as usize..][..count as usize].to_vec();
        starts.iter().zip(&counts).map(cut).collect()
    }

    pub(super) fn sum_tensor(&self, tensor: &Tensor) -> Result<(), TrainError> {
        assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float);
        if tensor.device() != Device::Cpu {
            let nccl = match self.nccl.get() {
                Some(nccl) => nccl,
                None => {
                    let nccl = Nccl::open(&self.world)?;
                    self.nccl.get_or_init(|| nccl)
                }
            };
            return nccl.sum(tensor);
        }
        // SAFETY: a contiguous tensor of 32-bit floats on the host, as was just seen, which nothing
        // else reads or writes while this runs: libtorch's operations on a CPU are over when they
        // return.
        let values = unsafe {
            std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel())
        };
        self.sum(values);
        Ok(())
    }
}
