//! `duoguard_model`: a model, with its names in the form that C reads.

use std::ffi::{CStr, CString};

use runtime::Model;

use crate::failure::Failure;
use crate::status::Status;

#[derive(Debug)]
pub(crate) struct ModelHandle {
    pub(crate) model: Model,
    categories: Vec<CString>,
}

impl ModelHandle {
    pub(crate) fn new(model: Model) -> Result<Self, Failure> {
        let category = |name: &String| {
            CString::new(name.as_str()).map_err(|_| {
                Failure::new(
                    Status::InvalidModel,
                    format!(
                        "manifest.json: category {name:?} has a NUL in it; expected a name without"
                    ),
                )
            })
        };
        let categories = model
            .categories()
            .iter()
            .map(category)
            .collect::<Result<_, _>>()?;
        Ok(Self { model, categories })
    }

    pub(crate) fn category_count(&self) -> usize {
        self.categories.len()
    }

    pub(crate) fn category_name(&self, index: usize) -> Option<&CStr> {
        self.categories.get(index).map(CString::as_c_str)
    }
}
