//! The processes that train one network together: data parallelism.
//!
//! Every process holds all weights and computes its share of each batch; gradients are added up
//! over the processes, and each then takes the same step. `mpirun` starts them (feature
//! `distributed`). Without it a group is one process, and whatever is asked of it costs nothing.

#[cfg(feature = "distributed")]
mod link;
#[cfg(feature = "distributed")]
mod nccl;
mod share;

use std::env;
#[cfg(feature = "distributed")]
use std::rc::Rc;

use tch::Tensor;

use crate::error::TrainError;
#[cfg(feature = "distributed")]
use link::Link;
pub(crate) use share::Share;

/// What Open MPI's `mpirun` tells the processes that it starts: how many there are, and which of
/// those on its machine this one is.
const SIZE: &str = "OMPI_COMM_WORLD_SIZE";
const LOCAL_SIZE: &str = "OMPI_COMM_WORLD_LOCAL_SIZE";
const LOCAL_RANK: &str = "OMPI_COMM_WORLD_LOCAL_RANK";

/// All processes of a run, and which of them this one is. A clone is the same group.
#[derive(Clone, Debug)]
pub struct ProcessGroup {
    rank: usize,
    size: usize,
    /// Processes on this machine.
    local_size: usize,
    #[cfg(feature = "distributed")]
    link: Option<Rc<Link>>,
}

impl ProcessGroup {
    /// This process alone.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            size: 1,
            local_size: 1,
            #[cfg(feature = "distributed")]
            link: None,
        }
    }

    /// The processes that `mpirun` started together; without it, this process alone.
    ///
    /// Each process of a machine is given a GPU of its own, as `CUDA_VISIBLE_DEVICES`. Call it
    /// before the program starts threads, and before [`device`](crate::device).
    ///
    /// # Errors
    /// A program that was built without the feature `distributed`; an MPI that does not start.
    pub fn join() -> Result<Self, TrainError> {
        let count = |name: &str| -> Option<usize> { env::var(name).ok()?.parse().ok() };
        let size = count(SIZE).unwrap_or(1);
        if size <= 1 {
            return Ok(Self::alone());
        }
        let (local_size, local_rank) = (count(LOCAL_SIZE), count(LOCAL_RANK));
        let (Some(local_size), Some(local_rank)) = (local_size, local_rank) else {
            let reason = format!("mpirun set {SIZE}, but not {LOCAL_SIZE} and {LOCAL_RANK}");
            return Err(TrainError::Distributed(reason));
        };
        Self::connect(local_size, local_rank)
    }

    #[cfg(not(feature = "distributed"))]
    fn connect(_local_size: usize, _local_rank: usize) -> Result<Self, TrainError> {
        Err(TrainError::Distributed(
            "mpirun started several processes, but this program was built without the feature \
             distributed: cargo build --release -p duoguard-trainer --features distributed"
                .to_owned(),
        ))
    }

    #[cfg(feature = "distributed")]
    fn connect(local_size: usize, local_rank: usize) -> Result<Self, TrainError> {
        take_gpu(local_rank);
        let link = Link::open()?;
        Ok(Self {
            rank: link.rank(),
            size: link.size(),
            local_size,
            link: Some(Rc::new(link)),
        })
    }

    /// Which process this is, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many of them share this machine.
    pub(crate) fn local_size(&self) -> usize {
        self.local_size
    }

    /// Whether this is the process that writes files and speaks to the user.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// What errors call this process: nothing where it is alone.
    pub fn name(&self) -> String {
        match self.size {
            1 => String::new(),
            _ => format!("rank {} of {}: ", self.rank, self.size),
        }
    }

    /// Ends all processes at once, with this exit status.
    pub fn abort(&self, status: u8) -> ! {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            link.abort(status);
        }
        std::process::exit(status.into())
    }

    /// Waits for the others, and takes leave of them. Nothing may be asked of the group afterwards.
    pub fn leave(self) {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            link.close();
        }
    }

    /// Waits until every process is here: what the first one has written can then be read.
    pub(crate) fn wait(&self) {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            link.barrier();
        }
    }

    /// What the first process says, so that all decide alike; a file may be there for one machine
    /// before it is for another.
    pub(crate) fn first_says(&self, answer: bool) -> bool {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            return link.first_says(answer);
        }
        answer
    }

    /// Adds up numbers over the processes, in place.
    pub(crate) fn sum_numbers(&self, _numbers: &mut [f32]) {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            link.sum(_numbers);
        }
    }

    /// Sets, in every process, the flags that are set in any.
    pub(crate) fn unite(&self, _flags: &mut [u8]) {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            link.max(_flags);
        }
    }

    /// What each process gives, in the order of their ranks.
    pub(crate) fn gather(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            return link.gather(&bytes);
        }
        vec![bytes]
    }

    /// Adds up a contiguous tensor of 32-bit floats over the processes, in place: through MPI on a
    /// CPU, through NCCL on a GPU, where the work is queued.
    ///
    /// # Errors
    /// NCCL is missing or fails.
    pub(crate) fn sum(&self, _tensor: &Tensor) -> Result<(), TrainError> {
        #[cfg(feature = "distributed")]
        if let Some(link) = &self.link {
            return link.sum_tensor(_tensor);
        }
        Ok(())
    }
}

/// Leaves one GPU visible: the `local_rank`-th of those that are.
#[cfg(feature = "distributed")]
fn take_gpu(local_rank: usize) {
    const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
    let own = match env::var(VISIBLE) {
        Ok(visible) => visible
            .split(',')
            .nth(local_rank)
            .unwrap_or_default()
            .to_owned(),
        Err(_) => local_rank.to_string(),
    };
    // SAFETY: it is called while the program has one thread, as `join` asks for.
    unsafe { env::set_var(VISIBLE, own) };
}
