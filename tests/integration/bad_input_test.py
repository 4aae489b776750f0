"""What a user can get wrong: exit code 2, one clear line a mistake, and nothing written or overwritten."""

import json
import re
import shutil
import subprocess
import unittest
import zipfile

import numpy
from PIL import Image
from support import (
    BIN,
    DIGITS,
    FOLDER,
    PHOTOGRAPHS,
    TINY,
    TRAINERS,
    ExecutableTest,
    contents,
    load_tensors,
    metadata_of,
    must_run,
    run,
    run_all,
    save_tensors,
    student,
    teacher,
    tiny_config,
    training,
)

OUT = "never-made"


def write(name, content):
    path = FOLDER / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def has_gpu():
    return shutil.which("nvidia-smi") is not None and subprocess.run(["nvidia-smi", "-L"], check=False).returncode == 0


class RefusalTest(ExecutableTest):
    def tearDown(self):
        self.assertFalse((FOLDER / OUT).exists(), "a refused command made its output folder")


class ConfigTest(RefusalTest):
    def refuse(self, name, content, *patterns):
        config = write(name, content)
        self.assert_refused(run("cm-train-edm", "--config", config, "--out", OUT), *patterns)

    def test_every_mistake_has_its_place_and_all_come_at_once(self):
        self.refuse(
            "wrong.yaml",
            "objective: edm\n"
            "data:\n"
            "  kind: digit\n"
            f"  path: {DIGITS}\n"
            "model:\n"
            "  chanels: 32\n"
            "  channel_mult: 1\n"
            "optimizer:\n"
            "  lr: fast\n"
            "  betas: [0.9, 2]\n"
            "trian:\n"
            "  steps: 3\n"
            "train:\n"
            "  steps: 0\n"
            "  zzzzzzzz: 1\n"
            "  batch_size: 2.5\n",
            r"wrong\.yaml:3:9: data\.kind must be one of \{digits, .*\}, got 'digit' \(did you mean digits\?\)",
            r"wrong\.yaml:6:3: unknown key 'model\.chanels' \(did you mean model\.channels\?\)",
            r"wrong\.yaml:7:17: model\.channel_mult must be a list of numbers, got '1' \(did you mean \[1\]\?\)",
            r"wrong\.yaml:9:7: optimizer\.lr must be a number, got 'fast'",
            r"wrong\.yaml:10:16: optimizer\.betas\[1\] must be .*1.*, got 2",
            r"wrong\.yaml:11:1: unknown key 'trian' \(did you mean train\?\)",
            r"wrong\.yaml:14:10: train\.steps must be in \[1, 1000000000000\], got 0",
            r"wrong\.yaml:15:3: unknown key 'train\.zzzzzzzz'$",
            r"wrong\.yaml:16:15: train\.batch_size must be an integer, got '2\.5'",
        )

    def test_rules_between_keys(self):
        self.refuse(
            "micro.yaml",
            TINY.replace("micro_batch_size: 2", "micro_batch_size: 3"),
            r"micro\.yaml:22:21: train\.micro_batch_size must divide batch_size \(4\), got 3",
        )
        self.refuse(
            "sections.yaml",
            TINY + "cd:\n  n: 18\nteacher:\n  checkpoint: nowhere\n",
            r"sections\.yaml:27:1: cd belongs to objective cd, but objective is edm",
            r"sections\.yaml:30:15: teacher\.checkpoint is not used by objective edm",
        )

    def test_keys_that_are_missing(self):
        self.refuse("empty.yaml", "", r"empty\.yaml: data\.path must be given")
        self.refuse("model.yaml", f"data: {{path: {DIGITS}}}\n", r"model\.yaml: model is needed where neither")
        no_teacher = run("cm-train-cd", "--config", tiny_config(), "--out", OUT, "objective=cd")
        self.assert_refused(no_teacher, r"tiny\.yaml: teacher\.checkpoint is needed by objective cd")
        no_teacher = run("cm-train-pd", "--config", tiny_config(), "--out", OUT, "objective=pd")
        self.assert_refused(no_teacher, r"tiny\.yaml: teacher\.checkpoint is needed by objective pd")

    def test_progressive_distillation(self):
        self.assert_all_refused(
            {
                training("pd", OUT, "pd.start_steps=12"):
                    r"override 'pd\.start_steps=12': pd\.start_steps must be a power of two, .* got 12$",
                training("pd", OUT, "parameterization=skip"):
                    r"parameterization must be edm for objective pd, got 'skip'",
                training("pd", OUT, "model.channels=64"): r"weights of another network",
                training("pd", OUT, f"teacher.checkpoint={student()}"): r"is a consistency model \(skip\)",
            }
        )  # fmt: skip

    def test_what_is_no_config(self):
        self.refuse("broken.yaml", "train: [1, 2", r"broken\.yaml:\d+:\d+: not valid YAML")
        self.refuse("tabs.yaml", "train:\n\tsteps: 2\n", r"tabs\.yaml:2:\d+: not valid YAML: .*spaces, not tabs")
        self.refuse("words.yaml", "just words\n", r"words\.yaml:1:1: a config must be a mapping")
        self.refuse("noise.yaml", bytes(range(128, 256)), r"noise\.yaml")
        self.assert_all_refused(
            {
                ("cm-train-edm", "--config", "nowhere.yaml", "--out", OUT): r"nowhere\.yaml: no such file",
                ("cm-train-edm", "--config", ".", "--out", OUT): r"is a folder, a file is needed",
                ("cm-train-edm", "--out", OUT): r"--config is needed",
                ("cm-train-edm", "--config", tiny_config()): r"--out is needed",
            }
        )

    def test_overrides(self):
        result = run(
            *training("edm", OUT),
            "trian.steps=3",
            "train.steps",
            "train.steps=ten",
            "train.batch_size=0",
            "model.channel_mult=[1",
            "=3",
        )
        self.assert_refused(
            result,
            r"override 'trian\.steps=3': unknown key 'trian\.steps' \(did you mean train\.steps\?\)",
            r"override 'train\.steps': must be key=value",
            r"override 'train\.steps=ten': train\.steps must be an integer, got 'ten'",
            r"override 'train\.batch_size=0': train\.batch_size must be in \[1, 1048576\], got 0",
            r"override 'model\.channel_mult=\[1': not valid YAML",
            r"override '=3': must be key=value",
        )

    def test_a_network_that_does_not_fit_the_images(self):
        self.assert_all_refused(
            {
                training("edm", OUT, "model.attention_resolutions=[16]"): r"model\.attention_resolutions",
                training("edm", OUT, "model.channel_mult=[1, 1, 1, 1, 1]"): r"model\.channel_mult",
                training("edm", OUT, "model.channels=33"): r"tiny\.yaml:8:17: .*32 channels",
            }
        )


class TrainCommandTest(RefusalTest):
    def test_options(self):
        self.assert_all_refused(
            {
                training("edm", OUT, "--resum"): r"unknown option --resum \(did you mean --resume\?\)",
                training("edm", OUT, "--device", "gpu"): r"--device must be cpu, cuda, cuda:N or auto, got 'gpu'",
                training("edm", OUT, "--device", "cuda:x"): r"--device must be .* got 'cuda:x'",
                training("edm", OUT, "--device", "cuda:99"): r"--device cuda:99: this machine has \d+ usable",
                training("edm", OUT, "--seed", "abc"): r"--seed.*abc",
                training("edm", OUT, "--seed", "-1"): r"--seed.*-1",
                training("edm", OUT, "--seed", "0x10"): r"--seed must be a whole number .* got '0x10'",
            }
        )

    @unittest.skipIf(has_gpu(), "this machine has a GPU")
    def test_cuda_without_a_gpu(self):
        self.assert_refused(run(*training("edm", OUT, "--device", "cuda")), r"this machine has 0 usable GPU")

    def test_every_objective_has_one_executable(self):
        """Each names its own where it refuses another's."""
        names = sorted(path.name for path in BIN.glob("cm-train-*"))
        strangers = ["ict" if TRAINERS["edm"] == name else "edm" for name in names]
        given = ("--config", tiny_config(), "--out", OUT)
        refused = run_all([(name, *given, f"objective={stranger}") for name, stranger in zip(names, strangers)])
        trained = []
        for stranger, result in zip(strangers, refused):
            own = rf"objective is {stranger}, which {result.name} does not train \(it trains \{{(.*)\}}\)"
            self.assert_refused(result, own)
            trained += [(objective, result.name) for objective in re.search(own, result.err)[1].split(", ")]
        self.assertEqual(sorted(trained), sorted(TRAINERS.items()))
        everything = re.search(r"(?m)^objective: one of \{(.*)\}", must_run("cm-train-edm", "--help-config").out)
        self.assertEqual(everything[1].split(", "), list(TRAINERS))

    def test_folders_that_hold_something_are_left_alone(self):
        foreign = FOLDER / "foreign"
        foreign.mkdir()
        (foreign / "thesis.tex").write_text("years of work")
        before = contents(foreign), contents(teacher())
        self.assert_all_refused(
            {
                training("edm", teacher()): r"teacher: holds a run already; --resume .* --force",
                training("edm", teacher(), "--force", "data.path=nowhere"): r"nowhere: not found",
                training("edm", teacher(), "--resume", "model.channels=64"): r"weights of another network",
                training("edm", foreign): r"foreign: is not empty and holds no run",
                training("edm", foreign, "--force"): r"foreign: is not empty and holds no run",
                training("edm", foreign, "--resume"): r"foreign.*no run",
                training("edm", foreign, "--resume", "auto"): r"foreign: is not empty and holds no run",
                training("edm", tiny_config()): r"tiny\.yaml: is a file; name a folder",
            }
        )
        self.assertEqual((contents(foreign), contents(teacher())), before)

    def test_a_run_to_resume_that_is_not_there(self):
        self.assert_all_refused(
            {
                ("cm-train-edm", "--resume", "--out", OUT): rf"{OUT} holds no run",
                ("cm-train-edm", "--resume", "auto", "--out", OUT): r"--config is needed",
                ("cm-train-edm", "--resume=always", "--out", OUT): r"--resume stands alone or before auto, got 'always'",
            }
        )

    def test_a_folder_that_cannot_be_made(self):
        self.assert_refused(run(*training("edm", "/dev/null/run")), r"/dev/null/run: Not a directory", code=1)

    def test_more_memory_than_there_is(self):
        result = run(*training("edm", OUT, "model.channels=2048", "model.channel_mult=[1024]", "--dry-run"))
        self.assert_refused(result, r"out of memory: \d+ bytes asked for; use a smaller batch", code=1)


class DataTest(RefusalTest):
    def test_files_that_are_missing_empty_or_broken(self):
        empty = write("empty.csv.gz", b"")
        short = write("short.csv.gz", DIGITS.read_bytes()[:5000])
        other = write("other.npz", b"not an archive")
        folder = FOLDER / "no-images"
        folder.mkdir()
        patches = FOLDER / "patches"
        patches.mkdir()
        Image.new("L", (50, 40), 99).save(patches / "grey.png")
        Image.new("RGB", (31, 40), "red").save(patches / "small.png")
        Image.new("RGB", (32, 32), "red").save(patches / "good.png")
        (patches / "broken.png").write_bytes((patches / "good.png").read_bytes()[:60])
        pets = FOLDER / "pets"
        (pets / "cats").mkdir(parents=True)
        (pets / "clip.gif").write_bytes(b"GIF89a")
        (pets / "gone.png").symlink_to("nowhere.png")
        (pets / "cats" / "around").symlink_to(pets)
        (FOLDER / "loop").symlink_to("loop")
        with zipfile.ZipFile(FOLDER / "latents.zip", "w") as archive, archive.open("00000/a.npy", "w") as latent:
            numpy.save(latent, numpy.zeros((8, 4, 4), numpy.float32))
        unread = (
            r"pets/cats/around: a loop of links, it leads back to ",
            r"pets/gone\.png: a link that leads nowhere",
            r"pets/clip\.gif: images of this format are not read; convert it to PNG or JPEG",
        )
        image_files = ("data.kind=folder", "data.image_size=8")
        self.assert_all_refused(
            {
                training("edm", OUT, f"data.path={pets}", *image_files): unread,
                training("edm", OUT, "data.path=loop", *image_files): r"loop: not found; data\.path must be",
                training("edm", OUT, "data.path=latents.zip", *image_files): (
                    r"latents\.zip/00000/a\.npy: is Float \[8, 4, 4\]; expected an image, uint8"
                ),
                training("edm", OUT, "data.path=nowhere"): r"nowhere: not found; data\.path must be",
                training("edm", OUT, f"data.path={empty}"): r"empty\.csv\.gz: empty file",
                training("edm", OUT, f"data.path={short}"): r"short\.csv\.gz: damaged or truncated",
                training("edm", OUT, f"data.path={other}", "data.kind=npz"): r"other\.npz: not a readable \.npz",
                training(
                    "edm", OUT, f"data.path={folder}", "data.kind=folder", "data.image_size=8"
                ): r"no-images: no images",
                training("edm", OUT, f"data.path={folder}", "data.kind=patches"): r"no-images: no images",
                training("edm", OUT, f"data.path={patches}", "data.kind=patches"): (
                    r"broken\.png: is a truncated PNG",
                    r"grey\.png: is grey, and data\.channels is 3",
                    r"small\.png: is 31×40 pixels, too small for patches of 32×32",
                ),
                training("edm", OUT, "data.kind=patches", "data.patches.reduce=0"): r"reduce must be in \[1, 1000\], got 0",
                training("edm", OUT, "data.patches.seed=1"): r"data\.patches belongs to kind patches, but kind is digits",
                training("edm", OUT, "data.image_size=16"): r"images are 8 pixels wide, but data\.image_size is 16",
            }
        )


class TeacherTest(RefusalTest):
    def distilling(self, *arguments):
        return ("cm-train-cd", "--config", tiny_config(), "--out", OUT, "objective=cd", *arguments)

    def test_teachers_that_cannot_teach(self):
        here = f"teacher.checkpoint={teacher()}"
        self.assert_all_refused(
            {
                self.distilling("teacher.checkpoint=nowhere"): r"teacher\.checkpoint nowhere: no such file or folder",
                self.distilling(f"teacher.checkpoint={FOLDER}"): r"neither a run with a checkpoint, nor",
                self.distilling(f"teacher.checkpoint={student()}"): r"is a consistency model \(skip\)",
                self.distilling(here, "data.labels=false"): r"trained on other images \(1 × 8 × 8, 10 classes\)",
                self.distilling(here, "model.res_blocks=2"): r"weights of another network",
                self.distilling(here, "teacher.ema=0.3"): r"no evaluation average of rate 0\.3; it has \{0\.05, 0\.9\}",
                self.distilling(
                    here, "objective=continuous_cd", "continuous_cd.stop_gradient=false",
                    "model.activation_checkpointing=true",
                ): r"stop_gradient: false does not go with model\.activation_checkpointing",
                self.distilling(here, "init.checkpoint=nowhere"): r"init\.checkpoint nowhere: no such file or folder",
            }
        )

    def test_pairs_that_are_none(self):
        flip = r"data\.horizontal_flip must be false for pairs"
        absent = r"has no pairs-000000\.safetensors; data\.path must be a folder of pairs, which cm-sample --pairs makes$"
        self.assert_all_refused(
            {
                training("kd", OUT, "data.kind=digits"): r"data\.kind must be pairs for objective kd, got 'digits'; cm-sample",
                training("edm", OUT, "data.kind=pairs", "data.horizontal_flip=false"): r"pairs are for objective kd, but",
                training("kd", OUT, "data.horizontal_flip=true"): flip,
                training("kd", OUT, f"data.path={DIGITS}"): absent,
                training("kd", OUT, f"data.path={PHOTOGRAPHS}"): absent,
                training("kd", OUT, "data.path=nowhere"): r"nowhere: not found; data\.path must be a folder of pairs",
                training("kd", OUT, "sigma.max=40"): r"its pairs start at sigma 80, but sigma\.max is 40; set sigma\.max=80",
            }
        )

    def test_first_stages_that_cannot_be_gone_on_from(self):
        stage_1 = f"init.checkpoint={student()}"

        def tuning(*arguments):
            return ("cm-train-ct", "--config", tiny_config(), "--out", OUT, "objective=tcm", *arguments)

        self.assert_all_refused(
            {
                tuning(): r"init\.checkpoint is needed by objective tcm: the consistency run or weight file of its first",
                tuning("init.checkpoint=nowhere"): r"init\.checkpoint nowhere: no such file or folder",
                tuning(f"init.checkpoint={teacher()}"): r"is a diffusion model \(edm\); .* train one by ect$",
                tuning(stage_1, "model.res_blocks=2"): r"weights of another network",
                tuning(stage_1, "model.architecture=ddpmpp"): r"weights of another network",
                tuning(stage_1, "data.labels=false"): r"trained on other images \(1 × 8 × 8, 10 classes\)",
                tuning(stage_1, "train.label_dropout=0.1"): r"can't teach the null class; set it to 0",
                tuning(stage_1, "tcm.transition=80"): r"tcm\.transition must be below sigma\.max, 80, got 80",
                tuning(stage_1, "tcm.transition=0"): r"tcm\.transition must be above 0, got 0",
                tuning(stage_1, "tcm.boundary_share=1"): r"tcm\.boundary_share must be in \[0, 1\), got 1",
            }
        )

    def test_weights_of_another_time_cannot_start_a_student(self):
        mismatch = r"init\.checkpoint .*takes time as edm gives it, .*; use one of trig or trig_diffusion"
        start = ("cm-train-ct", "--config", tiny_config(), "--out", OUT, f"init.checkpoint={teacher()}")
        self.assert_all_refused({(*start, "objective=sct"): mismatch})


class CheckpointTest(RefusalTest):
    def sampling(self, checkpoint, *arguments):
        return ("cm-sample", "--checkpoint", checkpoint, "--out", OUT, "--num", "1", "--steps", "1", *arguments)

    def test_what_is_no_checkpoint(self):
        weights = teacher() / "checkpoints" / "latest" / "model.safetensors"
        short = write("short.safetensors", weights.read_bytes()[:-100])
        headless = write("headless.safetensors", weights.read_bytes()[:1000])
        bare = save_tensors(FOLDER / "bare.safetensors", load_tensors(weights))
        self.assert_all_refused(
            {
                self.sampling("nowhere"): r"nowhere: no such file or folder",
                self.sampling(FOLDER): r"neither a run with a checkpoint, nor a checkpoint folder",
                self.sampling(short): r"short\.safetensors: truncated",
                self.sampling(bare): r"bare\.safetensors: has no metadata of a model",
                ("cm-info", "nowhere"): r"nowhere: no such file or folder",
                ("cm-info", tiny_config()): r"tiny\.yaml: not a safetensors file",
                ("cm-info", headless): r"headless\.safetensors: truncated or not a safetensors file",
            }
        )

    def test_metadata_that_does_not_hold(self):
        weights = teacher() / "checkpoints" / "latest" / "model.safetensors"
        tensors, metadata = load_tensors(weights), metadata_of(weights)

        def altered(section, key, value):
            model = json.loads(metadata["model"])
            model[section][key] = value
            path = FOLDER / f"{section}-{key}-{value}.safetensors"
            return save_tensors(path, tensors, metadata | {"model": json.dumps(model)})

        self.assert_all_refused(
            {
                self.sampling(altered("network", "channels", 64)): r"weights of another network",
                self.sampling(altered("network", "channels", "x")): r"model\.network\.channels has the wrong type",
                self.sampling(altered("image", "size", 0)): r"model\.image\.size must be in \[1, 4096\], got 0",
                self.sampling(altered("sigma", "min", -1)): r"model\.sigma\.min must be above 0, got -1",
            }
        )

    def test_requests_that_contradict_themselves_or_the_model(self):
        run_of_two = ("cm-sample", "--checkpoint", teacher(), "--out", OUT, "--num", "2")
        few_classes = r"--class must be 'all' or classes in 0 … 9"
        self.assert_all_refused(
            {
                (*run_of_two, "--steps", "0"): r"--steps must be an integer in \[1, 1048576\], got '0'",
                (*run_of_two, "--steps", "many"): r"--steps.*many",
                (*run_of_two, "--steps", "2", "--sigmas", "80,1"): r"exclude one another",
                (*run_of_two, "--sampler", "hein"): r"--sampler must be one of .*got 'hein' \(did you mean heun\?\)",
                (*run_of_two, "--class", "10"): few_classes,
                (*run_of_two, "--class", "3,"): few_classes,
                (*run_of_two, "--class", "-1"): few_classes,
                (*run_of_two, "--ema", "0.77"): r"no evaluation average of rate 0\.77; it has \{0\.05, 0\.9\}",
                (*run_of_two, "--batch", "0"): r"--batch must be an integer in \[1, 1048576\], got '0'",
                (*run_of_two[:-1], "0x40"): r"--num must be an integer in \[1, 10000000\], got '0x40'",
                (*run_of_two[:-1], "99999999999999999999"): r"--num must be an integer in .*, got '9{20}'",
                (*run_of_two, "--indices", "0,0x11"): r"--indices must be an integer in .*, got '0x11'",
                (*run_of_two[:-1], "0"): r"--num must be an integer in \[1, 10000000\], got '0'",
                (*run_of_two, "--s-churn", "-1"): r"--s-churn.*-1",
                (*run_of_two, "--quantize", "round"): r"--quantize must be one of \{nearest, truncate\}",
                (*run_of_two, "--stpes", "2"): r"unknown option --stpes \(did you mean --steps\?\)",
                ("cm-sample", "--out", OUT): r"--checkpoint is required",
                ("cm-info",): r"path is required",
                ("cm-info", "--jsn", teacher()): r"unknown option --jsn \(did you mean --json\?\)",
            }
        )


class EvaluateTest(ExecutableTest):
    def test_sets_metrics_and_features(self):
        pixels = numpy.zeros((3, 8, 8, 1), numpy.uint8)
        three, wide, floats = FOLDER / "three.npz", FOLDER / "wide.npz", FOLDER / "floats.npz"
        numpy.savez(three, pixels)
        numpy.savez(wide, numpy.zeros((3, 16, 16, 1), numpy.uint8))
        numpy.savez(floats, pixels.astype(numpy.float32))
        short = write("short.npz", three.read_bytes()[:200])
        (FOLDER / "self").symlink_to("self")
        gone = FOLDER / "gone"
        gone.mkdir()
        (gone / "a.png").symlink_to("nowhere.png")
        to_three = ("cm-evaluate", "--reference", three, "--samples")
        self.assert_all_refused(
            {
                (*to_three, "nowhere"): r"nowhere: no such file or folder",
                (*to_three, "self"): r"self: Too many levels of symbolic links",
                (*to_three, three, "--plot", "self"): r"could not create or open self: Too many levels of symbolic links",
                (*to_three, gone): r"gone/a\.png: a link that leads nowhere; restore",
                (*to_three, tiny_config()): r"tiny\.yaml: unknown kind of image set",
                (*to_three, short): r"short\.npz: not a readable \.npz archive",
                (*to_three, floats): r"floats\.npz: arr_0 is Float .*uint8 \[N.*rint\(\(x \+ 1\) \* 127\.5\)",
                (*to_three, wide): r"wide\.npz: images of .*must have one shape",
                (*to_three, three, "--metrics", "fid"): r"metric 'fid' is defined by Inception features",
                (*to_three, three, "--metrics", "frechett"): r"got 'frechett' \(did you mean frechet\?\)",
                (*to_three, three, "--metrics", "precision"): r"3 image\(s\), but precision and recall",
                (*to_three, three, "--metrics", "class_accuracy"): r"class_accuracy needs",
                (*to_three, three, "--features", "pixls"): r"features 'pixls' are neither .*mean pixels\?",
                (*to_three, three, "--features", "inception"): r"there is no file .*scripts/export_inception\.py",
                ("cm-evaluate", "--samples", three): r"--reference is required",
            }
        )


if __name__ == "__main__":
    unittest.main()
