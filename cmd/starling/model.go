package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"starling/node/compute"
	"starling/node/data"
	"starling/node/manifest"
	"starling/node/model/hf"
	"starling/node/model/llama"
)

func modelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Look at published language models, measure them, and let them speak",
		Long: `Look at published language models, measure them, and let them speak. A model is a directory as on Hugging Face, with config.json,
tokenizer.json and safetensors, or a GGUF file: of the Llama family (Llama, SmolLM2, Qwen2) or GPT-2.`,
		Example: "  starling model inspect SmolLM2-135M-Instruct",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(modelInspectCommand(), modelEvalCommand(), modelGenerateCommand())
	return cmd
}

func modelInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect MODEL",
		Short:   "Say what a model is made of, and what training it takes",
		Example: "  starling model inspect SmolLM2-135M-Instruct\n  starling model inspect model.gguf",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hf.Open(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			return printModel(cmd.OutOrStdout(), c)
		},
	}
}

func printModel(out io.Writer, c *hf.Checkpoint) error {
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	m := c.Config
	fmt.Fprintf(out, "family     %s: %d layers of width %d (inside %d), %d heads of %d for queries and %d for keys\n",
		m.Family, m.Layers, m.Hidden, m.MLP, m.Heads, m.HeadDim, m.KVHeads)
	fmt.Fprintf(out, "size       %d parameters, vocabulary of %d, made for up to %d tokens\n", m.Parameters(), m.Vocab, m.Context)
	if t, err := c.Tokenizer(); err != nil {
		fmt.Fprintf(out, "tokenizer  none that can be used: %v\n", err)
	} else {
		fmt.Fprintf(out, "tokenizer  bytes in pairs, %d tokens\n", t.Size())
	}
	fmt.Fprintf(out, "manifest   init: %s\n\n", manifest.WeightsInit(digest))
	context := min(512, m.Context)
	fmt.Fprintf(out, "training with rows of %d tokens takes about:\n", context)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tTRAINED\tMEMORY")
	for _, spec := range []string{"lora:r=8", "int8;lora:r=8", "lora:r=8,targets=q_proj+v_proj"} {
		s, err := llama.ParseSpec(fmt.Sprintf("hf:context=%d;%s", context, spec))
		if err != nil {
			return err
		}
		need, trained, err := compute.MemoryOf(*m, s, runtime.GOMAXPROCS(0), false)
		if err != nil {
			continue // GPT-2 calls its projections by other names
		}
		fmt.Fprintf(t, "%s\t%d\t%s\n", s, trained, size(need))
	}
	return t.Flush()
}

// A speakerFlags chooses a model that is to be run.
type speakerFlags struct {
	adapter string
	int8    bool
	threads int
}

func (f *speakerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.adapter, "adapter", "", "directory of a LoRA adapter, as PEFT or 'starling checkpoint export --format peft' writes it")
	cmd.Flags().BoolVar(&f.int8, "int8", false, "hold the weights in 8 bits: a quarter of the memory")
	cmd.Flags().IntVar(&f.threads, "threads", runtime.GOMAXPROCS(0), "processor cores to use")
}

func (f *speakerFlags) open(cmd *cobra.Command, path string) (*compute.Language, *compute.Speaker, error) {
	l, err := compute.OpenLanguage(path, [32]byte{}, llama.Options{Int8: f.int8})
	if err != nil {
		return nil, nil, err
	}
	s, err := l.Speaker(f.adapter, f.threads)
	if err == nil && s.Other() != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "note:", s.Other())
	}
	return l, s, err
}

func modelEvalCommand() *cobra.Command {
	var f speakerFlags
	var source string
	var context, rows int
	cmd := &cobra.Command{
		Use:   "eval MODEL --data text:FILE|jsonl:FILE",
		Short: "Measure a model on the held-out part of a text or of documents",
		Long: `Measure a model on the held-out part of a text or of documents: the last tenth of a text, every tenth of the documents of a JSONL
file, or another share, text:held=0.5:FILE. Of documents, only answers count, as in training.`,
		Example: `  starling model eval SmolLM2-135M-Instruct --data text:notes.txt
  starling model eval SmolLM2-135M-Instruct --data jsonl:questions.jsonl --adapter adapter`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case source == "":
				return usageError{commandName(cmd), fmt.Errorf("--data is missing: text:FILE or jsonl:FILE")}
			case context < 0 || rows < 0 || f.threads < 1:
				return usageError{commandName(cmd), fmt.Errorf("--context and --rows must not be negative, and --threads at least 1")}
			}
			texts, err := data.Open(source)
			if err != nil {
				return err
			}
			l, s, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			if context == 0 {
				context = min(512, l.Config().Context)
			}
			loss, accuracy, tokens, err := s.Evaluate(cmd.Context(), texts, context, rows)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "perplexity %.3f (loss %.4f) over %d held-out tokens, of which %.1f %% are foretold\n",
				math.Exp(loss), loss, tokens, 100*accuracy)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&source, "data", "", "text:FILE or jsonl:FILE")
	cmd.Flags().IntVar(&context, "context", 0, "tokens of a row (default: 512, if the model was made for so many)")
	cmd.Flags().IntVar(&rows, "rows", 0, "rows to measure, evenly from all of them (0: all)")
	return cmd
}

func modelGenerateCommand() *cobra.Command {
	var f speakerFlags
	var prompt string
	var chat bool
	var tokens int
	var seed uint64
	how := llama.Sampling{Temperature: 0.7, TopP: 0.9}
	cmd := &cobra.Command{
		Use:   "generate MODEL --prompt TEXT",
		Short: "Let a model continue a text, or answer",
		Example: `  starling model generate SmolLM2-135M-Instruct --chat --prompt "Why is the sky blue?"
  starling model generate SmolLM2-135M-Instruct --adapter adapter --prompt "Once upon a time" --temperature 0`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case prompt == "":
				return usageError{commandName(cmd), fmt.Errorf("--prompt is missing")}
			case !(how.Temperature >= 0) || !(how.TopP > 0 && how.TopP <= 1) || tokens < 1 || f.threads < 1:
				return usageError{commandName(cmd), fmt.Errorf("--temperature must not be negative, --top-p is above 0 and at most 1, and --tokens and --threads are at least 1")}
			}
			if prompt == "-" {
				text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
				if err != nil {
					return err
				}
				prompt = strings.TrimRight(string(text), "\n")
			}
			l, s, err := f.open(cmd, args[0])
			if err != nil {
				return err
			}
			in, err := l.Prompt(prompt, chat)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if !chat {
				fmt.Fprint(out, prompt)
			}
			err = s.Say(cmd.Context(), in, tokens, how, rand.New(rand.NewPCG(seed, 0)), func(text string) error {
				_, err := io.WriteString(out, text)
				return err
			})
			fmt.Fprintln(out)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&prompt, "prompt", "", "what the model continues; - reads it from the standard input")
	cmd.Flags().BoolVar(&chat, "chat", false, "the prompt is what a user says, in the form that the model knows dialogues")
	cmd.Flags().IntVar(&tokens, "tokens", 200, "most tokens to say")
	cmd.Flags().Float64Var(&how.Temperature, "temperature", how.Temperature, "how daring; 0 is the most probable word always")
	cmd.Flags().Float64Var(&how.TopP, "top-p", how.TopP, "draw from the fewest words that have this probability together")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "of the draws: the same seed says the same")
	return cmd
}
