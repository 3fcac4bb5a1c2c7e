"""Network files, understood: ours against the files that lycoris, PEFT and diffusers write."""
