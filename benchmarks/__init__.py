"""Programs that make the figures of the documents; README.md lists them."""


def add_precision(parser):
    """The flag of those that train in float32 or bfloat16, on a CPU."""
    precisions = ["float32", "bfloat16"]
    parser.add_argument("--precision", choices=precisions, default=precisions[0], help="of training (%(default)s)")
