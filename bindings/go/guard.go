// Package duoguard says whether a prompt, or a response to that prompt, is unsafe: offline, around
// the C library that pkg-config finds.
//
// No verdict is not a safe verdict: a call that fails says nothing about the text.
package duoguard

// #cgo pkg-config: duoguard
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"math"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// Guard is a model that is open. Any number of goroutines may use it at once: each check computes
// with a session of its own, and sessions wait for the next check.
type Guard struct {
	categories []string
	engine     *C.char // nil: automatic
	threads    C.uint32_t

	mutex  sync.Mutex
	model  *C.duoguard_model // nil: closed
	idle   []*C.duoguard_session
	closed sync.WaitGroup // counts the calls at work
}

// GuardOptions say how a bundle is opened; the zero value is automatic throughout.
type GuardOptions struct {
	Engine  string // the engine's name; "": the first that is available
	Threads int    // that one check may use; 0: one

	// The text of a minisign.pub: the bundle must have its signature, and be as it was signed; nil:
	// none is asked for. Not "" for none, so that a key that could not be read is no key.
	PublicKey *string
}

// Open opens the bundle in a folder.
func Open(path string) (*Guard, error) { return OpenWith(path, GuardOptions{}) }

// OpenWith opens the bundle in a folder, as the options say.
func OpenWith(path string, options GuardOptions) (*Guard, error) {
	if strings.ContainsRune(path, 0) || strings.ContainsRune(options.Engine, 0) {
		return nil, argument("a path or an engine's name has a NUL in it")
	}
	if options.Threads < 0 || options.Threads > math.MaxInt32 {
		return nil, argument("%d threads; expected 0 or more", options.Threads)
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var key *C.char
	if options.PublicKey != nil {
		if strings.ContainsRune(*options.PublicKey, 0) {
			return nil, argument("the public key has a NUL in it")
		}
		key = C.CString(*options.PublicKey)
		defer C.free(unsafe.Pointer(key))
	}
	var message C.duoguard_error
	guard := &Guard{threads: C.uint32_t(options.Threads)}
	status := C.shim_model_open(name, key, &guard.model, &message)
	if err := failed(status, &message); err != nil {
		return nil, err
	}
	if options.Engine != "" {
		guard.engine = C.CString(options.Engine)
	}
	for i := C.size_t(0); i < C.duoguard_model_category_count(guard.model); i++ {
		category := C.GoString(C.duoguard_model_category_name(guard.model, i))
		guard.categories = append(guard.categories, category)
	}
	runtime.SetFinalizer(guard, (*Guard).Close)
	session, err := guard.take()
	if err != nil {
		guard.Close()
		return nil, err
	}
	guard.put(session, nil)
	return guard, nil
}

// Close waits for the calls at work and frees the model. Streams must have been closed before.
// Closing twice does nothing.
func (g *Guard) Close() error {
	g.mutex.Lock()
	model := g.model
	g.model = nil
	g.mutex.Unlock()
	if model == nil {
		return nil
	}
	runtime.SetFinalizer(g, nil)
	g.closed.Wait()
	for _, session := range g.idle {
		C.duoguard_session_free(session)
	}
	g.idle = nil
	C.duoguard_model_free(model)
	C.free(unsafe.Pointer(g.engine))
	return nil
}

// Categories lists the names of the categories, in the order of scores.
func (g *Guard) Categories() []string { return append([]string(nil), g.categories...) }

// EngineName is what computes, as the automatic choice chose it.
func (g *Guard) EngineName() (string, error) {
	session, err := g.take()
	if err != nil {
		return "", err
	}
	defer g.put(session, nil)
	return C.GoString(C.duoguard_session_engine(session)), nil
}

// take gives a session that no other call has.
func (g *Guard) take() (*C.duoguard_session, error) {
	g.mutex.Lock()
	model := g.model
	if model == nil {
		g.mutex.Unlock()
		return nil, argument("the guard is closed")
	}
	g.closed.Add(1)
	if last := len(g.idle) - 1; last >= 0 {
		session := g.idle[last]
		g.idle = g.idle[:last]
		g.mutex.Unlock()
		return session, nil
	}
	g.mutex.Unlock()
	var session *C.duoguard_session
	var message C.duoguard_error
	status := C.shim_session_new(model, g.engine, g.threads, &session, &message)
	if err := failed(status, &message); err != nil {
		g.closed.Done()
		return nil, err
	}
	return session, nil
}

// put gives a session back, after a call that ended with err. One that panicked is freed.
func (g *Guard) put(session *C.duoguard_session, err error) {
	defer g.closed.Done()
	if e, ok := err.(*Error); ok && e.Status == Panic {
		C.duoguard_session_free(session)
		return
	}
	g.mutex.Lock()
	g.idle = append(g.idle, session)
	g.mutex.Unlock()
}
