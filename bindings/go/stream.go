package duoguard

// #include "shim.h"
import "C"

import "unsafe"

// StreamOptions say how a stream is read; the zero value is the default throughout.
type StreamOptions struct {
	Prompt        *string // what the streamed response answers; nil: the stream is itself a prompt
	Language      string  // as in Input
	Check         CheckOptions
	DebounceBytes int  // of new text after which a push draws a verdict; 0: 256
	WithoutCache  bool // verdicts on the way score whole windows, as the one at the end does
}

// Stream is a text that is checked while it is still being written. One goroutine at a time may use
// it, and it is closed before its guard.
type Stream struct {
	guard  *Guard
	stream *C.duoguard_stream // nil: closed
}

// Stream begins a text that comes piece by piece.
func (g *Guard) Stream(options StreamOptions) (*Stream, error) {
	language, free, err := tag(options.Language)
	if err != nil {
		return nil, err
	}
	defer free()
	thresholds, err := g.thresholds(options.Check)
	if err != nil {
		return nil, err
	}
	if options.DebounceBytes < 0 {
		return nil, argument("%d bytes between verdicts; expected 0 or more", options.DebounceBytes)
	}
	session, err := g.take()
	if err != nil {
		return nil, err
	}
	cache := C.uint32_t(C.DUOGUARD_CACHE_DEFAULT)
	if options.WithoutCache {
		cache = C.DUOGUARD_CACHE_OFF
	}
	prompt, size := pointer(options.Prompt)
	stream := &Stream{guard: g}
	var message C.duoguard_error
	status := C.shim_stream_new(session, prompt, size, language, cache,
		C.size_t(options.DebounceBytes), C.uint32_t(options.Check.Join),
		C.uint64_t(options.Check.MaxTokens), C.float(options.Check.TargetFPR),
		literal(options.Check), first(thresholds), C.size_t(len(thresholds)), &stream.stream, &message)
	err = failed(status, &message)
	g.put(session, err)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// Push takes the next bytes, which may end inside a character. It gives a verdict on the text so
// far if enough of it is new, and nil otherwise.
func (s *Stream) Push(piece string) (*Verdict, error) {
	return s.work(func(session *C.duoguard_session, scores []float32, found *C.duoguard_verdict,
		message *C.duoguard_error) (C.duoguard_status, bool) {
		var judged C.uint32_t
		bytes, size := pointer(&piece)
		status := C.duoguard_stream_push(s.stream, session, bytes, size, &judged, first(scores),
			C.size_t(len(scores)), found, message)
		return status, judged != 0
	})
}

// Finish gives the verdict on the whole text: exactly that of a check. More may be pushed
// afterwards.
func (s *Stream) Finish() (Verdict, error) {
	verdict, err := s.work(func(session *C.duoguard_session, scores []float32,
		found *C.duoguard_verdict, message *C.duoguard_error) (C.duoguard_status, bool) {
		return C.duoguard_stream_finish(s.stream, session, first(scores), C.size_t(len(scores)),
			found, message), true
	})
	if err != nil {
		return Verdict{}, err
	}
	return *verdict, nil
}

// Close frees the stream; closing twice does nothing.
func (s *Stream) Close() error {
	C.duoguard_stream_free(s.stream)
	s.stream = nil
	return nil
}

// work calls with a session, and turns what was found into a verdict if one was drawn.
func (s *Stream) work(call func(*C.duoguard_session, []float32, *C.duoguard_verdict,
	*C.duoguard_error) (C.duoguard_status, bool)) (*Verdict, error) {
	if s.stream == nil {
		return nil, argument("the stream is closed")
	}
	session, err := s.guard.take()
	if err != nil {
		return nil, err
	}
	scores := make([]float32, len(s.guard.categories))
	found := C.duoguard_verdict{struct_size: C.uint32_t(unsafe.Sizeof(C.duoguard_verdict{}))}
	var message C.duoguard_error
	status, drawn := call(session, scores, &found, &message)
	err = failed(status, &message)
	s.guard.put(session, err)
	if err != nil || !drawn {
		return nil, err
	}
	verdict := s.guard.verdict(&found, scores)
	return &verdict, nil
}
