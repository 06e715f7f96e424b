//! Nothing to call. Its build script depends on no other package, and so says that libtorch is
//! missing before the bindings to it are compiled, whose own message is a compiler's.
