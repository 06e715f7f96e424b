package duoguard_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"duoguard"
)

// The shared cases: what Go is told is what the C library says, to the last bit. bindings/cases.py
// writes them, and DUOGUARD_CASES names the file; scripts/bindings.sh does both.
func TestGoSaysWhatCSays(t *testing.T) {
	file, err := os.Open(os.Getenv("DUOGUARD_CASES"))
	if err != nil {
		t.Fatalf("DUOGUARD_CASES names no file of cases, see scripts/bindings.sh: %v", err)
	}
	defer file.Close()
	guard := open(t)
	lines := bufio.NewReader(file)
	count := 0
	for ; ; count++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		given := pairs(line)
		line, _ = lines.ReadString('\n')
		expected := pairs(line)
		// What checks.c says of itself.
		delete(expected, "stream_agrees")
		delete(expected, "reserved")
		t.Run(text(given["name"]), func(t *testing.T) { compare(t, guard, given, expected) })
	}
	if count < 30 {
		t.Errorf("%d cases", count)
	}
}

func pairs(line string) map[string]string {
	found := map[string]string{}
	for _, pair := range strings.Split(strings.Trim(line, "\t\n"), "\t") {
		key, value, _ := strings.Cut(pair, "=")
		found[key] = value
	}
	return found
}

func text(digits string) string {
	bytes, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return string(bytes)
}

func number(digits string) float32 {
	bits, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		panic(err)
	}
	return math.Float32frombits(uint32(bits))
}

func compare(t *testing.T, guard *duoguard.Guard, given, expected map[string]string) {
	if language, ok := given["language"]; ok && language == "" {
		t.Skip("Go's empty language is an identified one")
	}
	input := duoguard.Input{Prompt: text(given["prompt"]), Language: text(given["language"])}
	if response, ok := given["response"]; ok {
		response = text(response)
		input.Response = &response
	}
	options := duoguard.CheckOptions{Literal: given["literal"] == "1"}
	if join, ok := given["join"]; ok {
		choice, _ := strconv.Atoi(join)
		options.Join = duoguard.Join(choice)
	}
	options.MaxTokens, _ = strconv.ParseUint(given["max_tokens"], 10, 64)
	if rate, ok := given["target_fpr"]; ok {
		options.TargetFPR = number(rate)
	}
	if thresholds, ok := given["thresholds"]; ok {
		options.Thresholds = map[string]float32{}
		for place, digits := range strings.Split(thresholds, ",") {
			if digits != "0" {
				options.Thresholds[guard.Categories()[place]] = number(digits)
			}
		}
	}
	verdict, err := guard.CheckInput(input, options)
	same(t, said(guard, verdict, err), expected)
	if err != nil {
		return
	}
	settings := duoguard.StreamOptions{
		Language: input.Language, Check: options, DebounceBytes: 1 << 30,
	}
	piece := input.Prompt
	if input.Response != nil {
		settings.Prompt, piece = &input.Prompt, *input.Response
	}
	stream, err := guard.Stream(settings)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if look, err := stream.Push(piece); look != nil || err != nil {
		t.Errorf("a look before its time: %v, %v", look, err)
	}
	last, err := stream.Finish()
	same(t, said(guard, last, err), expected)
}

// said gives what came out in the form of the file.
func said(guard *duoguard.Guard, verdict duoguard.Verdict, err error) map[string]string {
	if err != nil {
		failure := err.(*duoguard.Error)
		message := hex.EncodeToString([]byte(failure.Message))
		return map[string]string{"status": failure.Status.String(), "message": message}
	}
	category := -1
	for place, name := range guard.Categories() {
		if name == verdict.Category {
			category = place
		}
	}
	scores := []string{}
	for _, score := range verdict.Scores {
		scores = append(scores, fmt.Sprint(math.Float32bits(score)))
	}
	flag := map[bool]string{false: "0", true: "1"}
	return map[string]string{
		"status":           "DUOGUARD_OK",
		"flagged":          flag[verdict.Flagged],
		"top_category":     fmt.Sprint(category),
		"top_score":        fmt.Sprint(math.Float32bits(verdict.Score)),
		"tokens":           fmt.Sprint(verdict.Tokens),
		"tokens_scored":    fmt.Sprint(verdict.TokensScored),
		"windows":          fmt.Sprint(verdict.Windows),
		"language":         verdict.Language,
		"span_in_response": flag[verdict.Span.InResponse],
		"span_begin":       fmt.Sprint(verdict.Span.Begin),
		"span_end":         fmt.Sprint(verdict.Span.End),
		"coverage_partial": flag[verdict.Partial],
		"scores":           strings.Join(scores, ","),
	}
}

func same(t *testing.T, found, expected map[string]string) {
	t.Helper()
	if len(found) != len(expected) {
		t.Errorf("found %v, expected %v", found, expected)
	}
	for key, value := range expected {
		if found[key] != value {
			t.Errorf("%s is %q, expected %q", key, found[key], value)
		}
	}
}
