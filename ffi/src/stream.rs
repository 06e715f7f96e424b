//! `duoguard_stream`: a text that comes piece by piece, and whether it can still be used.

use runtime::{Input, Stream, StreamOptions, Verdict};

use crate::failure::Failure;
use crate::session::SessionHandle;
use crate::status::Status;

#[derive(Debug)]
pub(crate) struct StreamHandle {
    stream: Stream,
    /// A panic came out of a session while it scored this text: what the stream remembers of it is
    /// in an unknown state.
    poisoned: bool,
}

impl StreamHandle {
    /// Begins a stream. Options that no check would take are refused now, not at the first verdict.
    pub(crate) fn new(
        session: &mut SessionHandle,
        options: StreamOptions,
    ) -> Result<Self, Failure> {
        let nothing = Input {
            language: options.language.as_deref(),
            ..Input::prompt("")
        };
        session.check(&nothing, &options.check)?;
        let stream = session.guarded(|session| Ok(Stream::new(session, options)))?;
        Ok(Self {
            stream,
            poisoned: false,
        })
    }

    pub(crate) fn uses_cache(&self) -> bool {
        self.stream.uses_cache()
    }

    pub(crate) fn push(
        &mut self,
        session: &mut SessionHandle,
        piece: &[u8],
    ) -> Result<Option<Verdict>, Failure> {
        self.guarded(session, |stream, session| stream.push(session, piece))
    }

    pub(crate) fn finish(&mut self, session: &mut SessionHandle) -> Result<Verdict, Failure> {
        self.guarded(session, Stream::finish)
    }

    fn guarded<T>(
        &mut self,
        session: &mut SessionHandle,
        work: impl FnOnce(&mut Stream, &mut runtime::Session) -> runtime::Result<T>,
    ) -> Result<T, Failure> {
        if self.poisoned {
            return Err(Failure::new(
                Status::Panic,
                "an earlier call with this stream panicked; free the stream and begin another",
            ));
        }
        // A panic leaves without passing the line that takes this back.
        self.poisoned = true;
        let stream = &mut self.stream;
        let result = session.guarded(|session| work(stream, session));
        self.poisoned = false;
        result
    }
}
