//! `duoguard_session`: a session, its language, and whether it can still be used.

use std::ffi::{CStr, CString};

use runtime::{Input, Session, SessionOptions, Verdict, parse_language_tag};

use crate::failure::Failure;
use crate::model::ModelHandle;
use crate::status::Status;

/// The longest language tag that a verdict has room for.
pub(crate) const MAX_LANGUAGE_BYTES: usize = 15;

#[derive(Debug)]
pub(crate) struct SessionHandle {
    session: Session,
    engine: CString,
    language: Option<String>,
    categories: usize,
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
            language: None,
            categories: model.category_count(),
            poisoned: false,
        })
    }

    pub(crate) fn engine(&self) -> &CStr {
        &self.engine
    }

    pub(crate) fn category_count(&self) -> usize {
        self.categories
    }

    pub(crate) fn set_language(&mut self, tag: Option<&str>) -> Result<(), Failure> {
        self.refuse_if_poisoned()?;
        if let Some(tag) = tag
            && !parse_language_tag(tag).is_ok_and(|tag| tag.len() <= MAX_LANGUAGE_BYTES)
        {
            return Err(Failure::argument(format!(
                "tag is {tag:?}; expected a BCP-47 tag of at most {MAX_LANGUAGE_BYTES} characters, such as \"en\" or \"pt-BR\", or NULL"
            )));
        }
        self.language = tag.map(str::to_owned);
        Ok(())
    }

    pub(crate) fn check(
        &mut self,
        prompt: &str,
        response: Option<&str>,
    ) -> Result<Verdict, Failure> {
        let language = self.language.clone();
        self.guarded(|session| {
            let mut input = Input::prompt(prompt);
            input.response = response;
            input.language = language.as_deref();
            session.check(&input)
        })
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

    /// The tag that was set for later checks.
    pub(crate) fn language(&self) -> Option<&str> {
        self.language.as_deref()
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
