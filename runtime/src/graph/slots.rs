//! What engines keep of a graph between sessions.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

/// A slot for each engine, which only that engine can name: its key is the type of what is kept.
#[derive(Default)]
pub(super) struct Slots(Mutex<HashMap<TypeId, Arc<Slot>>>);

type Slot = Mutex<Option<Arc<dyn Any + Send + Sync>>>;

impl Slots {
    /// What is kept if it is usable, else what `load` makes, which is kept from now on. Who asks
    /// meanwhile waits, and shares it; other slots are free.
    pub(super) fn get_or_load<T: Any + Send + Sync>(
        &self,
        is_usable: impl FnOnce(&T) -> bool,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        // Nothing under a lock leaves a slot half-written, so a poisoned lock is as good as any.
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(TypeId::of::<T>()).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.take().and_then(|kept| kept.downcast::<T>().ok());
        let kept = match kept.filter(|kept| is_usable(kept)) {
            Some(kept) => kept,
            None => Arc::new(load()?),
        };
        *slot = Some(Arc::clone(&kept) as Arc<dyn Any + Send + Sync>);
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn each_type_is_loaded_once_while_it_is_usable() {
        let slots = Slots::default();
        let load = |value: u32| slots.get_or_load(|_| true, || Ok(value)).unwrap();
        assert_eq!((*load(1), *load(2)), (1, 1));
        assert!(Arc::ptr_eq(&load(3), &load(4)));
        let text = slots.get_or_load(|_| true, || Ok("other".to_owned()));
        assert_eq!(*text.unwrap(), "other");
        let again = slots.get_or_load(|kept: &u32| *kept != 1, || Ok(5_u32));
        assert_eq!(*again.unwrap(), 5);
        let failed = slots.get_or_load(|_: &u32| false, || Err(Error::argument("no")));
        assert!(failed.is_err());
        assert_eq!(*load(6), 6);
    }
}
