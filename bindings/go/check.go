package duoguard

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"reflect"
	"runtime"
	"strings"
	"unsafe"
)

// Input is what is checked: a prompt, a response, or a response together with its prompt.
type Input struct {
	Prompt   string  // in UTF-8
	Response *string // in UTF-8; nil: none
	Language string  // a tag such as "en" or "pt-BR"; "": identified from the text
}

// Join says how a prompt and its response become one text, or stay two.
type Join uint32

// The ways of joining.
const (
	JoinSpace    Join = C.DUOGUARD_JOIN_SPACE    // the prompt, a space and the response
	JoinNewline  Join = C.DUOGUARD_JOIN_NEWLINE  // the prompt, a line break and the response
	JoinSeparate Join = C.DUOGUARD_JOIN_SEPARATE // scored one by one
)

// CheckOptions say how a text is checked; the zero value is the default throughout.
type CheckOptions struct {
	Join       Join
	MaxTokens  uint64             // score the first tokens, at most this many; 0: all
	TargetFPR  float32            // take the thresholds for this share of safe texts; 0: the model's
	Literal    bool               // score what is literally written, with its disguises on
	Thresholds map[string]float32 // by category, in (0, 1], in place of the model's
}

// Span is where the window that scored highest lies: text[Begin:End] of the prompt or the response.
type Span struct {
	InResponse bool
	Begin, End int // in bytes
}

// Verdict is what the model says about one text.
type Verdict struct {
	Flagged      bool      // a category's score exceeds its threshold
	Category     string    // the category that exceeds its threshold by most; "": none
	Score        float32   // the largest score of any category, a probability in [0, 1]
	Scores       []float32 // one per category, in the order of Guard.Categories
	Language     string    // whose thresholds applied; "und": not identified
	Tokens       int       // in the text
	TokensScored int       // those of them that at least one window covered
	Windows      int       // that the text was scored in; 0 for empty text, which is safe
	Span         Span
	Partial      bool // MaxTokens left some of the text unscored
}

// Check checks a prompt with the default options.
func (g *Guard) Check(prompt string) (Verdict, error) {
	return g.CheckInput(Input{Prompt: prompt}, CheckOptions{})
}

// CheckInput checks an input, as the options say.
func (g *Guard) CheckInput(input Input, options CheckOptions) (Verdict, error) {
	language, free, err := tag(input.Language)
	if err != nil {
		return Verdict{}, err
	}
	defer free()
	thresholds, err := g.thresholds(options)
	if err != nil {
		return Verdict{}, err
	}
	session, err := g.take()
	if err != nil {
		return Verdict{}, err
	}
	prompt, promptSize := pointer(&input.Prompt)
	response, responseSize := pointer(input.Response)
	scores := make([]float32, len(g.categories))
	var found C.duoguard_verdict
	var message C.duoguard_error
	status := C.shim_check(session, prompt, promptSize, response, responseSize, language,
		C.uint32_t(options.Join), C.uint64_t(options.MaxTokens), C.float(options.TargetFPR),
		literal(options), first(thresholds), C.size_t(len(thresholds)), first(scores),
		C.size_t(len(scores)), &found, &message)
	runtime.KeepAlive(input)
	err = failed(status, &message)
	g.put(session, err)
	if err != nil {
		return Verdict{}, err
	}
	return g.verdict(&found, scores), nil
}

func (g *Guard) verdict(found *C.duoguard_verdict, scores []float32) Verdict {
	category := ""
	if found.top_category >= 0 {
		category = g.categories[found.top_category]
	}
	return Verdict{
		Flagged:      found.flagged != 0,
		Category:     category,
		Score:        float32(found.top_score),
		Scores:       scores,
		Language:     C.GoString(&found.language[0]),
		Tokens:       int(found.tokens),
		TokensScored: int(found.tokens_scored),
		Windows:      int(found.windows),
		Span: Span{
			InResponse: found.span_in_response != 0,
			Begin:      int(found.span_begin),
			End:        int(found.span_end),
		},
		Partial: found.coverage_partial != 0,
	}
}

// thresholds puts those that are given into the order of the categories; none: nil.
func (g *Guard) thresholds(options CheckOptions) ([]float32, error) {
	if len(options.Thresholds) == 0 {
		return nil, nil
	}
	ordered := make([]float32, len(g.categories))
	known := 0
	for place, category := range g.categories {
		threshold, given := options.Thresholds[category]
		if given && threshold == 0 {
			return nil, argument("the threshold of %q is 0; expected more than 0, at most 1", category)
		}
		if given {
			ordered[place] = threshold
			known++
		}
	}
	if known != len(options.Thresholds) {
		return nil, argument("thresholds name what is no category; expected some of: %s",
			strings.Join(g.categories, ", "))
	}
	return ordered, nil
}

// tag gives a language as C reads it, and what frees it; NULL for "".
func tag(language string) (*C.char, func(), error) {
	if language == "" {
		return nil, func() {}, nil
	}
	if strings.ContainsRune(language, 0) {
		return nil, nil, argument("language %q has a NUL in it; expected a BCP-47 tag", language)
	}
	text := C.CString(language)
	return text, func() { C.free(unsafe.Pointer(text)) }, nil
}

var empty = [1]byte{}

// pointer gives the bytes of a text, where they are; NULL for nil. Not NULL for empty text, which
// is a response too.
func pointer(text *string) (*C.char, C.size_t) {
	if text == nil {
		return nil, 0
	}
	if *text == "" {
		return (*C.char)(unsafe.Pointer(&empty[0])), 0
	}
	header := (*reflect.StringHeader)(unsafe.Pointer(text))
	return (*C.char)(unsafe.Pointer(header.Data)), C.size_t(len(*text))
}

func first(numbers []float32) *C.float {
	if len(numbers) == 0 {
		return nil
	}
	return (*C.float)(unsafe.Pointer(&numbers[0]))
}

func literal(options CheckOptions) C.uint32_t {
	if options.Literal {
		return 1
	}
	return 0
}
