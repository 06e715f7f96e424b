//! Sums over GPUs, by NVIDIA's NCCL. The library comes with PyTorch and is loaded when it is
//! needed.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

use cudarc::nccl::{result, sys};
use mpi::collective::Root;
use mpi::topology::{Communicator, SimpleCommunicator};
use tch::Tensor;

use crate::error::TrainError;

/// The GPUs of all processes, one each.
pub(super) struct Nccl {
    communicator: sys::ncclComm_t,
}

impl Nccl {
    /// Joins the GPU that this process sees with those of the others. All processes call it.
    pub(super) fn open(world: &SimpleCommunicator) -> Result<Self, TrainError> {
        // SAFETY: it looks for the library, and calls nothing in it.
        if !unsafe { sys::is_culib_present() } {
            return Err(TrainError::Distributed(
                "there is no libnccl.so, which adds up gradients over GPUs. It comes with PyTorch \
                 under another name: ln -s SITE_PACKAGES/nvidia/nccl/lib/libnccl.so.2 \
                 LIBTORCH/lib/libnccl.so"
                    .to_owned(),
            ));
        }
        let mut bytes: [c_char; 128] = [0; 128];
        if world.rank() == 0 {
            bytes = result::get_uniqueid()
                .map_err(|e| failed("ncclGetUniqueId", e))?
                .internal;
        }
        world.process_at_rank(0).broadcast_into(&mut bytes[..]);
        let id = sys::ncclUniqueId { internal: bytes };
        let mut communicator = null_mut();
        // SAFETY: the pointer is to a local variable; every process has the same id, and a rank of
        // its own below the number of processes.
        unsafe { result::comm_init_rank(&mut communicator, world.size(), id, world.rank()) }
            .map_err(|e| failed("ncclCommInitRank", e))?;
        Ok(Self { communicator })
    }

    /// Queues the sum of a contiguous tensor of 32-bit floats, in place.
    pub(super) fn sum(&self, tensor: &Tensor) -> Result<(), TrainError> {
        let values: *mut c_void = tensor.data_ptr();
        // SAFETY: the pointer is to as many floats of this process's GPU. The null stream is the
        // one that libtorch queues its work on: what made the tensor is before this, and whatever
        // reads or frees it is behind it.
        unsafe {
            result::all_reduce(
                values,
                values,
                tensor.numel(),
                sys::ncclDataType_t::ncclFloat32,
                sys::ncclRedOp_t::ncclSum,
                self.communicator,
                null_mut(),
            )
        }
        .map_err(|e| failed("ncclAllReduce", e))?;
        Ok(())
    }
}

fn failed(call: &str, error: result::NcclError) -> TrainError {
    TrainError::Distributed(format!("{call} of NCCL failed: {error:?}"))
}
