//! A device and what can go wrong with it.

use std::sync::{Arc, Mutex, PoisonError};

use wgpu::{
    Adapter, AdapterInfo, Buffer, BufferDescriptor, BufferUsages, Device, DeviceDescriptor,
    ErrorFilter, Limits, MemoryHints, PollType, Queue, SubmissionIndex,
};

use super::{NAME, adapter};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a staging copy: what is written to the GPU waits in memory of this size until it is
/// there.
const UPLOAD_BYTES: usize = 16 << 20;

/// An open device; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Gpu {
    pub(super) device: Device,
    pub(super) queue: Queue,
    pub(super) info: AdapterInfo,
    lost: Arc<Mutex<Option<String>>>,
    uncaptured: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Opens a device with all the room that the adapter has for buffers.
    pub(super) fn open(adapter: &Adapter) -> Result<Self> {
        let has = adapter.limits();
        let mut limits = Limits::defaults().or_worse_values_from(&has);
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        limits.max_buffer_size = has.max_buffer_size;
        Self::with_limits(adapter, limits)
    }

    /// Opens a device that keeps to the given limits.
    pub(super) fn with_limits(adapter: &Adapter, limits: Limits) -> Result<Self> {
        let info = adapter.get_info();
        let descriptor = DeviceDescriptor {
            label: Some("duoguard"),
            required_limits: limits,
            memory_hints: MemoryHints::MemoryUsage,
            ..DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|cause| {
                engine_error(&format!(
                    "cannot open {}: {cause}; use another engine",
                    adapter::describe(&info)
                ))
            })?;
        let lost = Arc::new(Mutex::new(None));
        let note = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            keep(&note, format!("{reason:?}: {message}"))
        });
        // Without a handler, an error outside every scope would end the process.
        let uncaptured = Arc::new(Mutex::new(None));
        let note = Arc::clone(&uncaptured);
        device.on_uncaptured_error(Arc::new(move |error| keep(&note, error.to_string())));
        Ok(Self {
            device,
            queue,
            info,
            lost,
            uncaptured,
        })
    }

    /// Does something, and turns whatever goes wrong on the device meanwhile into an error. `what`
    /// completes "cannot".
    pub(super) fn guarded<T>(&self, what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_lost(what)?;
        let filters = [
            ErrorFilter::Internal,
            ErrorFilter::Validation,
            ErrorFilter::OutOfMemory,
        ];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let result = action();
        // The last scope that was pushed is the first to be popped.
        let errors = scopes
            .into_iter()
            .rev()
            .filter_map(|scope| pollster::block_on(scope.pop()));
        let found: Vec<wgpu::Error> = errors.collect();
        if !found.is_empty() || result.is_err() {
            // A loss is told late: whatever went wrong may be its doing.
            let _ = self.device.poll(PollType::Poll);
        }
        self.check_lost(what)?;
        match found.into_iter().next() {
            Some(wgpu::Error::OutOfMemory { .. }) => Err(engine_error(&format!(
                "cannot {what}: {} has no memory left; check shorter windows, close other \
                 programs, or use another engine",
                self.info.name
            ))),
            Some(error) => Err(engine_error(&format!("cannot {what}: {error}"))),
            None => {
                if let Some(message) = taken(&self.uncaptured) {
                    return Err(engine_error(&format!("cannot {what}: {message}")));
                }
                result
            }
        }
    }

    /// Whether the device is gone: a driver was reset or updated, a GPU unplugged.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn check_lost(&self, what: &str) -> Result<()> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lost {
            Some(message) => Err(engine_error(&format!(
                "cannot {what}: {} was lost ({message}); the text was not checked. The next check \
                 opens the device again",
                self.info.name
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.device.limits()
    }

    /// Largest storage buffer that a shader may see, in bytes.
    pub(super) fn binding_bytes(&self) -> usize {
        let limits = self.limits();
        let bytes = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        // Shaders count quads with 32 bits.
        usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .min(u32::MAX as usize)
            & !0xff
    }

    /// A buffer of zeros.
    pub(super) fn buffer(&self, label: &str, bytes: usize, usage: BufferUsages) -> Buffer {
        self.device.create_buffer(&BufferDescriptor {
            label: Some(label),
            size: bytes as u64,
            usage,
            mapped_at_creation: false,
        })
    }

    /// Writes bytes, a multiple of 4 of them, a piece at a time, so that they are not in memory
    /// twice.
    pub(super) fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) {
        for (index, piece) in bytes.chunks(UPLOAD_BYTES).enumerate() {
            self.queue
                .write_buffer(buffer, (offset + index * UPLOAD_BYTES) as u64, piece);
            if piece.len() == UPLOAD_BYTES {
                self.flush();
            }
        }
    }

    /// Waits until what was written has arrived and its staging memory is free.
    pub(super) fn flush(&self) {
        let index = self.queue.submit([]);
        self.wait(index);
    }

    /// Waits for work to be done. A device that is lost meanwhile is found out by
    /// [`guarded`](Self::guarded).
    pub(super) fn wait(&self, submission: SubmissionIndex) {
        let wait = PollType::Wait {
            submission_index: Some(submission),
            timeout: None,
        };
        // The wait has no time limit and is for a submission of this very queue: it cannot fail
        // otherwise than by loss.
        let _ = self.device.poll(wait);
    }
}

fn keep(slot: &Mutex<Option<String>>, message: String) {
    slot.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert(message);
}

fn taken(slot: &Mutex<Option<String>>) -> Option<String> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

pub(super) fn engine_error(what: &str) -> Error {
    Error::new(ErrorKind::Engine, format!("engine {NAME}: {what}"))
}
