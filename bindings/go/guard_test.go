package duoguard_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"duoguard"
)

const (
	bundle = "../../models/mini"
	bread  = "How do I bake bread at home?"
	unsafe = "You people are disgusting and stupid, nobody wants you here, you filth."
)

func open(t *testing.T) *duoguard.Guard {
	t.Helper()
	guard, err := duoguard.Open(bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guard.Close() })
	return guard
}

func TestErrorsHaveTheStatusOfTheHeader(t *testing.T) {
	_, err := duoguard.Open("no/such/bundle")
	if !errors.Is(err, &duoguard.Error{Status: duoguard.IO}) || !strings.Contains(err.Error(), "no/such") {
		t.Errorf("%v", err)
	}
	_, err = duoguard.OpenWith(bundle, duoguard.GuardOptions{Engine: "abacus"})
	if !errors.Is(err, &duoguard.Error{Status: duoguard.InvalidArgument}) {
		t.Errorf("%v", err)
	}
	guard := open(t)
	for _, prompt := range []string{"\xff", strings.Repeat("a", 4<<20+1)} {
		if _, err := guard.Check(prompt); !errors.Is(err, &duoguard.Error{Status: duoguard.InvalidArgument}) {
			t.Errorf("%v", err)
		}
	}
	for _, thresholds := range []map[string]float32{{"noise": 0.5}, {"hate": 0}, {"hate": 1.5}} {
		options := duoguard.CheckOptions{Thresholds: thresholds}
		_, err := guard.CheckInput(duoguard.Input{Prompt: bread}, options)
		if !errors.Is(err, &duoguard.Error{Status: duoguard.InvalidArgument}) {
			t.Errorf("%v: %v", thresholds, err)
		}
	}
}

func TestABundleWhoseKeyIsNamedHasToBeSigned(t *testing.T) {
	folder := os.Getenv("DUOGUARD_SIGNED")
	key := func(name string) *string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatalf("DUOGUARD_SIGNED names no folder of a signed bundle, see scripts/bindings.sh: %v", err)
		}
		key := string(text)
		return &key
	}
	signed := filepath.Join(folder, "signed")
	guard, err := duoguard.OpenWith(signed, duoguard.GuardOptions{PublicKey: key("minisign.pub")})
	if err != nil {
		t.Fatal(err)
	}
	guard.Close()
	nul := "a\x00b"
	for _, refused := range []struct {
		path   string
		key    *string
		status duoguard.Status
		part   string
	}{
		{signed, key("other.pub"), duoguard.InvalidModel, "different key"},
		{bundle, key("minisign.pub"), duoguard.InvalidModel, "not signed"},
		{signed, new(string), duoguard.InvalidArgument, "public key"},
		{signed, &nul, duoguard.InvalidArgument, "NUL"},
	} {
		_, err := duoguard.OpenWith(refused.path, duoguard.GuardOptions{PublicKey: refused.key})
		if !errors.Is(err, &duoguard.Error{Status: refused.status}) || !strings.Contains(err.Error(), refused.part) {
			t.Errorf("%v", err)
		}
	}
}

func TestAClosedGuardRefuses(t *testing.T) {
	guard := open(t)
	guard.Close()
	guard.Close()
	if _, err := guard.Check(bread); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v", err)
	}
}

func TestSixteenGoroutinesOnOneGuard(t *testing.T) {
	guard := open(t)
	expected, err := guard.Check(unsafe)
	if err != nil || !expected.Flagged || expected.Category != "hate" {
		t.Fatalf("%v, %v", expected, err)
	}
	var all sync.WaitGroup
	for i := 0; i < 16; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < 25; j++ {
				if found, err := guard.Check(unsafe); err != nil || !reflect.DeepEqual(found, expected) {
					t.Errorf("%v, %v", found, err)
				}
			}
		}()
	}
	all.Wait()
}

func TestStreamsGiveLooksOnTheWay(t *testing.T) {
	guard := open(t)
	stream, err := guard.Stream(duoguard.StreamOptions{DebounceBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"You people are ", "disgusting."} {
		if look, err := stream.Push(piece); look == nil || err != nil {
			t.Errorf("%v, %v", look, err)
		}
	}
	last, err := stream.Finish()
	whole, _ := guard.Check("You people are disgusting.")
	if err != nil || !reflect.DeepEqual(last, whole) {
		t.Errorf("%v, %v; expected %v", last, err, whole)
	}
	stream.Close()
	stream.Close()
	if _, err := stream.Finish(); err == nil {
		t.Error("a closed stream finishes")
	}
	if _, err := guard.Stream(duoguard.StreamOptions{Language: "mostly German"}); err == nil {
		t.Error("a wrong language begins a stream")
	}
}

func TestTheEngineHasAName(t *testing.T) {
	guard, err := duoguard.OpenWith(bundle, duoguard.GuardOptions{Engine: "native", Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	if name, err := guard.EngineName(); name != "native" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}

func BenchmarkCheck(b *testing.B) {
	guard, err := duoguard.Open(bundle)
	if err != nil {
		b.Fatal(err)
	}
	defer guard.Close()
	for i := 0; i < b.N; i++ {
		if _, err := guard.Check(bread); err != nil {
			b.Fatal(err)
		}
	}
}
