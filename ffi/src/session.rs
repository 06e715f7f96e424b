//! `duoguard_session`: a session, and whether it can still be used.

use std::ffi::{CStr, CString};

use runtime::{CheckOptions, Input, Session, SessionOptions, Verdict};

use crate::failure::Failure;
use crate::model::ModelHandle;
use crate::status::Status;

#[derive(Debug)]
pub(crate) struct SessionHandle {
    session: Session,
    engine: CString,
    /// A panic came out of the session: its working memory is in an unknown state.
    poisoned: bool,
}

impl SessionHandle {
    pub(crate) fn new(model: &ModelHandle, options: &SessionOptions) -> Result<Self, Failure> {
        let session = model.model.session(options)?;
        let engine = CString::new(session.engine())
            .map_err(|_| Failure::new(Status::Engine, "the engine's name has a NUL in it"))?;
        Ok(Self {
            session,
            engine,
            poisoned: false,
        })
    }

    pub(crate) fn engine(&self) -> &CStr {
        &self.engine
    }

    pub(crate) fn categories(&self) -> &[String] {
        self.session.model().categories()
    }

    pub(crate) fn check(
        &mut self,
        input: &Input<'_>,
        options: &CheckOptions,
    ) -> Result<Verdict, Failure> {
        self.guarded(|session| session.check_with(input, options))
    }

    /// Works with the session, which cannot be used any more if that panics.
    pub(crate) fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Session) -> runtime::Result<T>,
    ) -> Result<T, Failure> {
        self.refuse_if_poisoned()?;
        // A panic leaves without passing the line that takes this back.
        self.poisoned = true;
        #[cfg(test)]
        crate::tests::panics::trip(crate::tests::panics::Place::Check);
        let result = work(&mut self.session);
        self.poisoned = false;
        Ok(result?)
    }

    fn refuse_if_poisoned(&self) -> Result<(), Failure> {
        if self.poisoned {
            return Err(Failure::new(
                Status::Panic,
                "an earlier check with this session panicked; free the session and make another",
            ));
        }
        Ok(())
    }
}
