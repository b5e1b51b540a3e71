"""`python -m nmbench.theory`."""

from nmbench import cli, theory

if __name__ == "__main__":
    cli.run(theory.main, theory.FLAGS, theory.__doc__, "nmbench.theory")
