package duoguard

// #include "shim.h"
import "C"

import "fmt"

// Status tells errors apart, as the C header does.
type Status int

// The statuses of the C header.
const (
	InvalidArgument Status = C.DUOGUARD_INVALID_ARGUMENT // a value or text that the call cannot take
	IO              Status = C.DUOGUARD_IO               // a file could not be opened or read
	InvalidModel    Status = C.DUOGUARD_INVALID_MODEL    // the bundle is damaged
	Unsupported     Status = C.DUOGUARD_UNSUPPORTED      // this library or machine lacks something
	Engine          Status = C.DUOGUARD_ENGINE           // the engine failed
	OutOfMemory     Status = C.DUOGUARD_OUT_OF_MEMORY    // no memory for the model's weights
	Panic           Status = C.DUOGUARD_PANIC            // a defect in the library
)

// String gives the header's word, such as "DUOGUARD_IO".
func (s Status) String() string {
	return C.GoString(C.duoguard_status_name(C.duoguard_status(s)))
}

// Error is why a call failed. A text whose check failed was not checked: do not take it for safe.
//
// errors.As finds it, and errors.Is(err, &duoguard.Error{Status: duoguard.IO}) compares the status.
type Error struct {
	Status  Status
	Message string // what was expected, what was found, what to do
}

func (e *Error) Error() string { return e.Message }

// Is says whether the target is an Error of the same status, and of the same message if it has one.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Status == e.Status && (other.Message == "" || other.Message == e.Message)
}

// failed gives the error of a status; nil for DUOGUARD_OK.
func failed(status C.duoguard_status, message *C.duoguard_error) error {
	if status == C.DUOGUARD_OK {
		return nil
	}
	return &Error{Status(status), C.GoString(&message.message[0])}
}

func argument(format string, values ...any) error {
	return &Error{InvalidArgument, fmt.Sprintf(format, values...)}
}
